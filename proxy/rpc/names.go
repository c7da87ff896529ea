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
// random so that nobody can choose names that collide. The memory is at most about three times the text, in the worst text there is.
type nameSet struct {
	few   []fewName
	arena []byte // decoded names that had escapes, each after its length in four bytes
	free  [maxFreeTable + 1][][]uint64
}

// frame is the part of a nameSet that belongs to one open object.
type frame struct {
	few   int // where its names start
	arena int
	slots []uint64 // nil while it has few
	used  int
}

// fewName is a name by its length and its first bytes, which up to eight are all of it.
type fewName struct {
	word uint64
	at   uint32 // see nameSet.get
	n    uint32
}

const (
	maxFew       = 16
	firstTable   = 6  // log2 of the slots of an object's first table
	maxFreeTable = 12 // larger ones are left to the collector
	maxFreeEach  = 4
	inArena      = 1 << 31 // in a place: the name is in the arena, else in the text
)

var nameSeed = maphash.MakeSeed()

// open starts an object inside the ones that are open.
func (s *nameSet) open() frame { return frame{few: len(s.few), arena: len(s.arena)} }

// close ends the innermost object.
func (s *nameSet) close(f *frame) {
	s.few, s.arena = s.few[:f.few], s.arena[:f.arena]
	if f.slots != nil {
		s.recycle(f.slots)
	}
}

// reset forgets everything and what is too large to keep.
func (s *nameSet) reset() {
	s.few, s.arena = s.few[:0], s.arena[:0]
	if cap(s.arena) > 16<<10 {
		s.arena = nil
	}
}

// add adds the name at text[from:to] to an object; it returns the name decoded and whether it is new.
func (s *nameSet) add(text []byte, f *frame, from, to int, escaped bool) ([]byte, bool) {
	at, name, around := uint32(from), text[from:to], text[from:]
	if escaped {
		at, name = s.decode(name)
		around = name
	}
	if f.slots != nil {
		return name, s.insert(text, f, at, name)
	}
	word := firstWord(name, around)
	for i := range s.few[f.few:] {
		other := &s.few[f.few+i]
		if other.word == word && int(other.n) == len(name) && (len(name) <= 8 || bytes.Equal(s.get(text, other.at), name)) {
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

// decode decodes a name into the arena.
func (s *nameSet) decode(inner []byte) (uint32, []byte) {
	s.arena = append(s.arena, 0, 0, 0, 0)
	at := len(s.arena)
	s.arena = appendDecoded(s.arena, inner)
	name := s.arena[at:]
	binary.LittleEndian.PutUint32(s.arena[at-4:], uint32(len(name)))
	return uint32(at) | inArena, name
}

// get returns the name at a place. A name in the text has no escapes, so it ends at the first quote.
func (s *nameSet) get(text []byte, at uint32) []byte {
	if at&inArena == 0 {
		rest := text[at:]
		return rest[:bytes.IndexByte(rest, '"')]
	}
	rest := s.arena[at&^inArena-4:]
	return rest[4 : 4+binary.LittleEndian.Uint32(rest)]
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
		s.insert(text, f, k.at, s.get(text, k.at))
	}
	s.few = s.few[:f.few]
}

// insert adds a name to an object's table. A slot is the upper half of the hash's bits and the place, which is never 0.
func (s *nameSet) insert(text []byte, f *frame, at uint32, name []byte) bool {
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
		if uint32(slot>>32) == tag && bytes.Equal(s.get(text, uint32(slot)), name) {
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
	if log <= maxFreeTable && len(s.free[log]) < maxFreeEach {
		clear(slots)
		s.free[log] = append(s.free[log], slots)
	}
}
