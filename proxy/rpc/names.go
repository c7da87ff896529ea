package rpc

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// nameSet finds a name that an object has twice. Names are compared as they decode: "a" and "\u0061" are the same.
//
// An object with few members is compared name by name, in a stack that all open objects share. One with more gets a hash table of eight bytes per slot, seeded at
// random so that nobody can choose names that collide. What is stored of a name is its place in the text, so the memory is bounded by the number of members: in the worst
// text there is, a single object of the shortest possible members, three to five times the text.
type nameSet struct {
	few  []fewName
	free [maxFreeTable + 1][][]uint64

	decoded, other []byte // the names last decoded
}

// frame is the part of a nameSet that belongs to one open object.
type frame struct {
	few   int      // where its names start
	slots []uint64 // nil while it has few
	used  int
}

// fewName is a name by its length and its first bytes, which up to eight are all of it.
type fewName struct {
	word  uint64
	place place
	n     uint32
}

// place is where in the text a name starts, after its quote, and in the top bit whether it has escapes. It is never 0.
type place uint32

const hasEscapes = 1 << 31

const (
	maxFew       = 16
	firstTable   = 6       // log2 of the slots of an object's first table
	maxFreeTable = 12      // log2 of the slots of the largest table that is kept
	maxKept      = 8 << 10 // slots in all tables of one size that are kept
)

var nameSeed = maphash.MakeSeed()

// open starts an object inside the ones that are open.
func (s *nameSet) open() frame { return frame{few: len(s.few)} }

// close ends the innermost object.
func (s *nameSet) close(f *frame) {
	s.few = s.few[:f.few]
	if f.slots != nil {
		s.recycle(f.slots)
	}
}

// reset forgets everything and what is too large to keep.
func (s *nameSet) reset() {
	s.few = s.few[:0]
	if cap(s.decoded)+cap(s.other) > 16<<10 {
		s.decoded, s.other = nil, nil
	}
}

// add adds the name at text[from:to] to an object; it returns the name decoded, valid until the next one, and whether it is new.
func (s *nameSet) add(text []byte, f *frame, from, to int, escaped bool) ([]byte, bool) {
	at, name, around := place(from), text[from:to], text[from:]
	if escaped {
		s.decoded = appendDecoded(s.decoded[:0], name)
		at, name, around = at|hasEscapes, s.decoded, s.decoded
	}
	if f.slots != nil {
		return name, s.insert(text, f, at, name)
	}
	word := firstWord(name, around)
	for i := range s.few[f.few:] {
		other := &s.few[f.few+i]
		if other.word == word && int(other.n) == len(name) && (len(name) <= 8 || bytes.Equal(s.get(text, other.place), name)) {
			return name, false
		}
	}
	if len(s.few)-f.few == maxFew {
		s.spill(text, f)
		return name, s.insert(text, f, at, name)
	}
	s.few = append(s.few, fewName{word, at, uint32(len(name))})
	return name, true
}

// get returns the name at a place, valid until the next call.
func (s *nameSet) get(text []byte, at place) []byte {
	from := int(at &^ hasEscapes)
	if at&hasEscapes == 0 {
		return text[from : from+bytes.IndexByte(text[from:], '"')]
	}
	s.other = appendDecoded(s.other[:0], text[from:skipString(text, from-1)-1])
	return s.other
}

// firstWord packs the first eight bytes of a name; of longer ones it mixes in the last eight. around is what the name is the start of.
func firstWord(name, around []byte) uint64 {
	n := len(name)
	switch {
	case n > 8:
		return binary.LittleEndian.Uint64(name) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(name[n-8:]), 29)
	case len(around) >= 8:
		return binary.LittleEndian.Uint64(around) << (64 - 8*n)
	}
	var first [8]byte
	copy(first[:], name)
	return binary.LittleEndian.Uint64(first[:]) << (64 - 8*n)
}

// spill moves an object's few names into its first table.
func (s *nameSet) spill(text []byte, f *frame) {
	f.slots = s.table(firstTable)
	for _, k := range s.few[f.few:] {
		s.insert(text, f, k.place, s.get(text, k.place))
	}
	s.few = s.few[:f.few]
}

// insert adds a name to an object's table. A slot is half of the hash and the place.
func (s *nameSet) insert(text []byte, f *frame, at place, name []byte) bool {
	if f.used*3 >= len(f.slots)*2 {
		s.grow(f)
	}
	tag := uint32(maphash.Bytes(nameSeed, name) >> 32)
	mask := uint32(len(f.slots) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		slot := f.slots[i]
		if slot == 0 {
			f.slots[i] = uint64(tag)<<32 | uint64(at)
			f.used++
			return true
		}
		if uint32(slot>>32) == tag && bytes.Equal(s.get(text, place(slot)), name) {
			return false
		}
	}
}

func (s *nameSet) grow(f *frame) {
	slots := s.table(bits.Len(uint(len(f.slots))))
	mask := uint32(len(slots) - 1)
	for _, slot := range f.slots {
		if slot == 0 {
			continue
		}
		i := uint32(slot>>32) & mask
		for slots[i] != 0 {
			i = (i + 1) & mask
		}
		slots[i] = slot
	}
	s.recycle(f.slots)
	f.slots = slots
}

// table returns an empty table of 1<<log slots. Tables are kept by size, so that an object pays for clearing no more than it filled.
func (s *nameSet) table(log int) []uint64 {
	if log <= maxFreeTable {
		if n := len(s.free[log]); n > 0 {
			slots := s.free[log][n-1]
			s.free[log] = s.free[log][:n-1]
			return slots
		}
	}
	return make([]uint64, 1<<log)
}

func (s *nameSet) recycle(slots []uint64) {
	log := bits.Len(uint(len(slots))) - 1
	if log <= maxFreeTable && len(s.free[log])<<log < maxKept {
		clear(slots)
		s.free[log] = append(s.free[log], slots)
	}
}
