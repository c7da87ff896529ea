package proxy

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestTheLarderIsAlwaysRight, whatever is done to shelves at the same time: nobody waits for ever, and in the end nothing is left of anything.
func TestTheLarderIsAlwaysRight(t *testing.T) {
	const users, shelves, rounds = 2, 3, 300
	limits := Resuming{PerSession: 4000, UserBytes: 6000, Overall: 9000}.orDefaults()
	all, of := &larder{limit: limits.Overall}, larders{limit: limits.UserBytes}
	var made []*shelf
	var work sync.WaitGroup
	for n := range users * shelves {
		s := &shelf{ids: new(eventIDs), session: fmt.Sprint(n), limits: &limits, shares: shares{of.of(fmt.Sprint(n % users)), all}, now: time.Now}
		made = append(made, s)
		work.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range rounds {
				use(s, random)
			}
		})
	}
	work.Wait()
	for _, s := range made {
		s.close()
	}
	for _, l := range []*larder{all, of.of("0"), of.of("1")} {
		if l.bytes.Load() != 0 || l.spare.Len() != 0 {
			t.Errorf("%d bytes and %d feeds are left", l.bytes.Load(), l.spare.Len())
		}
	}
}

// use does with one stream what clients do.
func use(s *shelf, random *rand.Rand) {
	f := s.open(answerStream, "1", true)
	if f == nil {
		return
	}
	for range random.IntN(5) {
		s.add(f, make([]byte, 10+random.IntN(1500)))
	}
	s.finish(f, random.IntN(2) == 0)
	for range random.IntN(3) {
		if found := s.find(f.streamName); found != nil {
			carrier := s.carry(found)
			s.after(found, carrier, 0)
			s.leave(found, carrier)
		}
	}
	if random.IntN(10) == 0 {
		s.press()
	}
}
