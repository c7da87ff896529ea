package audit

import (
	"io"
	"os"
)

// target is where records are written: a file, or a stream that is not ours to open and close.
type target struct {
	io.Writer
	path string      // empty: a stream
	file *os.File    // nil: a stream
	info os.FileInfo // of file when it was opened
}

// openFile opens a file for appending. A last line that a crash cut short is closed, so that the next record has a line of its own.
func openFile(path string) (*target, error) {
	t, err := openRaw(path)
	if err != nil {
		return nil, err
	}
	if cutShort(t) {
		if _, err := t.file.WriteString("\n"); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

func openRaw(path string) (*target, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &target{Writer: file, path: path, file: file, info: info}, nil
}

// cutShort says whether a file ends within a line. What cannot be read is taken for whole.
func cutShort(t *target) bool {
	if !t.info.Mode().IsRegular() || t.info.Size() == 0 {
		return false
	}
	reader, err := os.Open(t.path)
	if err != nil {
		return false
	}
	defer reader.Close()
	var last [1]byte
	_, err = reader.ReadAt(last[:], t.info.Size()-1)
	return err == nil && last[0] != '\n'
}

// replaced says whether the path leads elsewhere by now: the file was moved away or deleted.
func (t *target) replaced() bool {
	if t.file == nil {
		return false
	}
	info, err := os.Stat(t.path)
	if err != nil {
		return os.IsNotExist(err)
	}
	return !os.SameFile(info, t.info)
}

// again opens the path anew. same says that it is the file it was, so that a line which was begun can be finished; then nothing is added to it.
func (t *target) again() (next *target, same bool, err error) {
	if t.file == nil {
		return t, true, nil
	}
	next, err = openRaw(t.path)
	if err != nil {
		return nil, false, err
	}
	if os.SameFile(next.info, t.info) {
		return next, true, nil
	}
	next.close()
	next, err = openFile(t.path)
	return next, false, err
}

func (t *target) close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
