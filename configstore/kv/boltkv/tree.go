package boltkv

import (
	"bytes"
	"io"
)

// maxDepth is far more than a tree of bbolt ever has.
const maxDepth = 64

// walker reads every page of one state of the file.
type walker struct {
	file io.ReaderAt
	meta meta
	seen []uint64 // one bit for each page
}

// keyRange is where a page's keys must be: the first one is low (nil: anything, for a root), all are below high (nil: no limit). That the first key is exactly what the page above says is
// more than a search needs; but bbolt finds an entry again by it when it moves pages.
type keyRange struct{ low, high []byte }

// element is one entry of a page: child is a branch's, bucket and value are a leaf's.
type element struct {
	key, value []byte
	child      uint64
	bucket     bool
}

// rootBucket walks everything and returns the names of the top-level buckets.
func (w *walker) rootBucket() ([]string, error) {
	var names []string
	err := w.tree(w.meta.root, keyRange{}, 0, func(e element) error {
		if !e.bucket {
			return damaged("a record lies outside of every bucket")
		}
		names = append(names, string(e.key))
		return w.bucket(e.value, 1)
	})
	return names, err
}

// bucket walks a bucket, by what a leaf of the bucket above it says.
func (w *walker) bucket(value []byte, depth int) error {
	if len(value) < bucketHeader || depth > maxDepth {
		return damaged("a bucket's entry is broken")
	}
	entry := func(e element) error {
		if e.bucket {
			return w.bucket(e.value, depth+1)
		}
		return nil
	}
	if root := native.Uint64(value); root != 0 {
		return w.tree(root, keyRange{}, depth, entry)
	}
	inline := value[bucketHeader:]
	if len(inline) < headerSize || native.Uint16(inline[8:]) != leafPage {
		return damaged("a small bucket's page is broken")
	}
	elements, err := parse(inline, 0, keyRange{})
	if err != nil {
		return err
	}
	for _, e := range elements {
		if e.bucket {
			return damaged("a small bucket holds another one")
		}
	}
	return nil
}

// tree walks a page and those below it, and hands over every entry of a leaf.
func (w *walker) tree(id uint64, within keyRange, depth int, entry func(element) error) error {
	if depth > maxDepth {
		return damaged("the tree is too deep")
	}
	page, err := w.page(id)
	if err != nil {
		return err
	}
	elements, err := parse(page, id, within)
	if err != nil {
		return err
	}
	if native.Uint16(page[8:]) == leafPage {
		for _, e := range elements {
			if err := entry(e); err != nil {
				return err
			}
		}
		return nil
	}
	for i, e := range elements {
		below := keyRange{e.key, within.high}
		if i+1 < len(elements) {
			below.high = elements[i+1].key
		}
		if err := w.tree(e.child, below, depth+1, entry); err != nil {
			return err
		}
	}
	return nil
}

// page reads a page with its overflow and marks it as used. Its number and its extent are judged here, its kind and entries by who asked for it.
func (w *walker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= w.meta.high {
		return nil, damaged("page %d is outside of the file", id)
	}
	at := int64(id) * w.meta.pageSize
	header := make([]byte, headerSize)
	if _, err := w.file.ReadAt(header, at); err != nil {
		return nil, err
	}
	pages := uint64(native.Uint32(header[12:])) + 1
	if native.Uint64(header) != id {
		return nil, damaged("page %d calls itself %d", id, native.Uint64(header))
	}
	if pages > w.meta.high-id {
		return nil, damaged("page %d reaches beyond the end of the file", id)
	}
	for i := id; i < id+pages; i++ {
		if err := w.use(i); err != nil {
			return nil, err
		}
	}
	page := make([]byte, int64(pages)*w.meta.pageSize)
	_, err := w.file.ReadAt(page, at)
	return page, err
}

// use marks a page; each belongs to one owner.
func (w *walker) use(id uint64) error {
	if w.seen[id/64]&(1<<(id%64)) != 0 {
		return damaged("page %d is used twice", id)
	}
	w.seen[id/64] |= 1 << (id % 64)
	return nil
}

// parse reads the entries of a branch or a leaf. Their keys ascend and are in the range; keys and values lie behind the entries without a gap, in order, as bbolt writes them.
func parse(page []byte, id uint64, within keyRange) ([]element, error) {
	kind, count := native.Uint16(page[8:]), int(native.Uint16(page[10:]))
	if kind != branchPage && kind != leafPage || count == 0 && (kind == branchPage || within.low != nil) {
		return nil, damaged("page %d is not a page of a tree", id)
	}
	next := headerSize + count*elementSize // where the next key begins
	if next > len(page) {
		return nil, damaged("page %d has more entries than room", id)
	}
	elements := make([]element, count)
	for i := range elements {
		e, end, ok := parseElement(page, headerSize+i*elementSize, next, kind)
		if !ok {
			return nil, damaged("entry %d of page %d is broken", i, id)
		}
		elements[i], next = e, end
	}
	if !within.ordered(elements) {
		return nil, damaged("the entries of page %d are out of order", id)
	}
	return elements, nil
}

func (r keyRange) ordered(elements []element) bool {
	if len(elements) > 0 && r.low != nil && !bytes.Equal(elements[0].key, r.low) {
		return false
	}
	for i, e := range elements {
		if i > 0 && bytes.Compare(elements[i-1].key, e.key) >= 0 || r.high != nil && bytes.Compare(e.key, r.high) >= 0 {
			return false
		}
	}
	return true
}

// parseElement reads the entry at a place whose key begins at start. A branch's entry is pos 4, key size 4, child 8; a leaf's is flags 4, pos 4, key size 4, value size 4; pos counts from the
// entry itself.
func parseElement(page []byte, at, start int, kind uint16) (e element, end int, ok bool) {
	fields := page[at : at+elementSize]
	if kind == branchPage {
		position, keySize := native.Uint32(fields), native.Uint32(fields[4:])
		e.key, ok = extent(page, start, keySize)
		e.child = native.Uint64(fields[8:])
		return e, start + len(e.key), ok && keySize > 0 && at+int(position) == start
	}
	flags, position := native.Uint32(fields), native.Uint32(fields[4:])
	keySize, valueSize := native.Uint32(fields[8:]), native.Uint32(fields[12:])
	e.bucket = flags == bucketLeaf
	if e.key, ok = extent(page, start, keySize); !ok || keySize == 0 || flags > bucketLeaf || at+int(position) != start {
		return e, 0, false
	}
	e.value, ok = extent(page, start+len(e.key), valueSize)
	return e, start + len(e.key) + len(e.value), ok
}

// extent is size bytes of a page.
func extent(page []byte, from int, size uint32) ([]byte, bool) {
	if int64(size) > int64(len(page)-from) {
		return nil, false
	}
	return page[from : from+int(size)], true
}

// freelist reads the list of free pages: each inside the file, in order, and used by nothing.
func (w *walker) freelist() error {
	if w.meta.freelist == noFreelist {
		return damaged("the list of free pages is missing")
	}
	page, err := w.page(w.meta.freelist)
	if err != nil {
		return err
	}
	if native.Uint16(page[8:]) != freelistPage {
		return damaged("the list of free pages is not where it should be")
	}
	count, numbers := uint64(native.Uint16(page[10:])), page[headerSize:]
	if count == 0xFFFF { // too many for the header: the first number is the count
		count, numbers = native.Uint64(numbers), numbers[8:]
	}
	if count > uint64(len(numbers)/8) {
		return damaged("the list of free pages is broken")
	}
	last := uint64(1)
	for i := range count {
		id := native.Uint64(numbers[i*8:])
		if id <= last || id >= w.meta.high {
			return damaged("the list of free pages is out of order")
		}
		if err := w.use(id); err != nil {
			return err
		}
		last = id
	}
	return nil
}
