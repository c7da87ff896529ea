package caller

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// What one address may get wrong before it has to wait. Far below what guessing
// needs, far above what a person or a misconfigured agent does in a minute.
const (
	maxFailures    = 60
	failureWindow  = time.Minute
	throttleShards = 16
	shardCapacity  = 512
)

// throttle counts failed attempts per remote address. Success never touches it
// while nobody has failed, and never with a minted token: those cannot be
// guessed, so one noisy neighbour behind the same address locks nobody out.
type throttle struct {
	now     func() time.Time
	seed    maphash.Seed
	tracked atomic.Int64 // entries in all shards; zero is the fast path
	shards  [throttleShards]throttleShard
}

type throttleShard struct {
	mu      sync.Mutex
	entries map[netip.Addr]failures // guarded by mu; entries die when their window is over
}

type failures struct {
	count int
	until time.Time // the window's end
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, seed: maphash.MakeSeed()}
}

// wait says how long the address has to wait; zero means that it may try.
func (t *throttle) wait(address netip.Addr) time.Duration {
	if t.tracked.Load() == 0 {
		return 0
	}
	now, shard := t.now(), t.shard(address)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	entry := shard.entries[address]
	if entry.count < maxFailures || !entry.until.After(now) {
		return 0
	}
	return entry.until.Sub(now)
}

// failed counts one failed attempt.
func (t *throttle) failed(address netip.Addr) {
	now, shard := t.now(), t.shard(address)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	entry, known := shard.entries[address]
	if known && entry.until.After(now) {
		entry.count++
		shard.entries[address] = entry
		return
	}
	if !known {
		t.makeRoom(shard, now)
		t.tracked.Add(1)
	}
	if shard.entries == nil {
		shard.entries = make(map[netip.Addr]failures)
	}
	shard.entries[address] = failures{count: 1, until: now.Add(failureWindow)}
}

// makeRoom drops what is over and, if that is not enough, any one entry: memory
// stays bounded, and who has that many addresses gains one fresh count only.
func (t *throttle) makeRoom(shard *throttleShard, now time.Time) {
	for address, entry := range shard.entries {
		if !entry.until.After(now) {
			t.forget(shard, address)
		}
	}
	for address := range shard.entries {
		if len(shard.entries) < shardCapacity {
			return
		}
		t.forget(shard, address)
	}
}

func (t *throttle) forget(shard *throttleShard, address netip.Addr) {
	delete(shard.entries, address)
	t.tracked.Add(-1)
}

func (t *throttle) shard(address netip.Addr) *throttleShard {
	return &t.shards[maphash.Comparable(t.seed, address)%throttleShards]
}

// remoteAddress is the peer's address as the connection has it: headers that
// claim another one are never believed. Of IPv6 the /64 counts, since whoever
// has one address there has them all.
func remoteAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap().WithZone("")
	if address.Is4() {
		return address
	}
	network, err := address.Prefix(64)
	if err != nil {
		return address
	}
	return network.Addr()
}
