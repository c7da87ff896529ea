package boltkv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// What follows knows bbolt's file format (version 2) as far as it takes to tell a whole file from a damaged one. It reads; it maps nothing and trusts nothing. Numbers are in the byte
// order of the machine that wrote them, which is the machine that reads them: bbolt refuses others, and so do we.
const (
	headerSize   = 16 // id 8, flags 2, count 2, overflow 4
	metaSize     = 64 // magic 4, version 4, page size 4, flags 4, root 8, sequence 8, freelist 8, high 8, txid 8, checksum 8
	elementSize  = 16
	bucketHeader = 16 // root 8, sequence 8
	magic        = 0xED0CDAED
	version      = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01
	noFreelist   = ^uint64(0)

	minPageSize = 1 << 10
	maxPageSize = 1 << 24
)

var native = binary.NativeEndian

// findings is what a check found in a file that opens.
type findings struct {
	damagedHeader bool // one of the two header pages; bbolt takes the other
}

// meta is a header page: one state of the file.
type meta struct {
	pageSize             int64
	root, freelist, high uint64 // high: the first page number that is not used
	txid                 uint64
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// check reads the whole file as bbolt would. Every error but one of reading wraps ErrForeign or ErrDamaged.
func check(file io.ReaderAt, size int64) (findings, error) {
	if size == 0 {
		return findings{}, damaged("the file is empty")
	}
	m, found, err := readMetas(file, size)
	if err != nil {
		return found, err
	}
	if m.high > uint64(size/m.pageSize) {
		return found, damaged("the file is cut short: it has %d bytes and should have at least %d pages of %d", size, m.high, m.pageSize)
	}
	w := &walker{file: file, meta: m, seen: make([]uint64, m.high/64+1)}
	buckets, err := w.rootBucket()
	if err != nil {
		return found, err
	}
	if err := w.freelist(); err != nil {
		return found, err
	}
	if len(buckets) != 1 || buckets[0] != string(bucketName) {
		return found, fmt.Errorf("%w: it is a bbolt file of another program", ErrForeign)
	}
	return found, nil
}

// readMetas finds the two header pages and returns the newer of those that are whole.
func readMetas(file io.ReaderAt, size int64) (meta, findings, error) {
	first, firstErr := readMeta(file, 0, size)
	if err := notOfTheFile(firstErr); err != nil {
		return meta{}, findings{}, err
	}
	second, secondErr := meta{}, error(nil)
	if firstErr == nil {
		second, secondErr = readMeta(file, first.pageSize, size)
	} else {
		second, secondErr = searchSecond(file, size)
	}
	if err := notOfTheFile(secondErr); err != nil {
		return meta{}, findings{}, err
	}
	found := findings{damagedHeader: firstErr != nil || secondErr != nil}
	switch {
	case firstErr != nil && secondErr != nil:
		return meta{}, found, neither(firstErr, secondErr)
	case secondErr != nil, firstErr == nil && first.txid > second.txid:
		return first, found, nil
	}
	return second, found, nil
}

// neither says foreign if nothing in the file looks like ours.
func neither(first, second error) error {
	if errors.Is(first, ErrForeign) && errors.Is(second, ErrForeign) {
		return fmt.Errorf("%w, or damaged beyond recognition", ErrForeign)
	}
	return damaged("both header pages are broken")
}

// notOfTheFile returns an error of reading; those are not about the content.
func notOfTheFile(err error) error {
	if errors.Is(err, ErrForeign) || errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// searchSecond looks for the second header page where it can be, without the first one to tell the size of a page.
func searchSecond(file io.ReaderAt, size int64) (meta, error) {
	worst := error(ErrForeign)
	for at := int64(minPageSize); at <= maxPageSize && at < size; at <<= 1 {
		m, err := readMeta(file, at, size)
		if err == nil && m.pageSize == at {
			return m, nil
		}
		if notOfTheFile(err) != nil {
			return meta{}, err
		}
		if errors.Is(err, ErrDamaged) {
			worst = err
		}
	}
	return meta{}, worst
}

// readMeta reads a header page: ErrForeign if it has not the mark of one, ErrDamaged if it has.
func readMeta(file io.ReaderAt, at, size int64) (meta, error) {
	if at+headerSize+metaSize > size {
		return meta{}, ErrForeign
	}
	text := make([]byte, metaSize)
	if _, err := file.ReadAt(text, at+headerSize); err != nil {
		return meta{}, err
	}
	if native.Uint32(text) != magic {
		return meta{}, ErrForeign
	}
	sum := fnv.New64a()
	sum.Write(text[:metaSize-8])
	m := meta{
		pageSize: int64(native.Uint32(text[8:])),
		root:     native.Uint64(text[16:]), freelist: native.Uint64(text[32:]), high: native.Uint64(text[40:]),
		txid: native.Uint64(text[48:]),
	}
	switch {
	case native.Uint32(text[4:]) != version:
		return meta{}, damaged("it has another version of the bbolt format")
	case native.Uint64(text[56:]) != sum.Sum64():
		return meta{}, damaged("the checksum of a header page does not match")
	case m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0:
		return meta{}, damaged("a header page names a page size of %d", m.pageSize)
	}
	return m, nil
}
