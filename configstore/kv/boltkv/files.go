package boltkv

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"

	"mcpsidecar/configstore/kv"
)

const (
	fileMode      = 0o600
	directoryMode = 0o700
	others        = 0o077
	othersWrite   = 0o022
)

// prepareDirectory makes the directory. One that exists is somebody's choice and keeps its mode, unless others could replace the file in it.
func prepareDirectory(path string, logger *slog.Logger) error {
	if err := os.MkdirAll(path, directoryMode); err != nil {
		return fmt.Errorf("making the directory of the store: %w", full(err))
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("opening the directory of the store: %w", err)
	}
	mode := info.Mode()
	if mode&othersWrite == 0 || mode&fs.ModeSticky != 0 {
		return nil
	}
	if err := os.Chmod(path, mode&^othersWrite); err != nil {
		logger.Warn("others can replace files in the directory of the store, and its mode cannot be changed", "directory", path, "mode", mode.String(), "error", err)
		return nil
	}
	logger.Warn("others could replace files in the directory of the store; it is theirs to write no longer", "directory", path, "mode_was", mode.String())
	return nil
}

// tightenFile takes the file from everybody but its owner: bbolt leaves the mode of an existing file as it is.
func tightenFile(file *os.File, path string, logger *slog.Logger) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("opening the store %s: %w", path, err)
	}
	mode := info.Mode().Perm()
	if mode&others == 0 {
		return nil
	}
	if err := file.Chmod(fileMode); err != nil {
		return fmt.Errorf("%s: others can use the store (mode %04o), and its mode cannot be changed: %w; run chmod 600 on it as its owner", path, mode, err)
	}
	logger.Warn("the store could be used by others; its mode is 0600 now", "file", path, "mode_was", fmt.Sprintf("%04o", mode))
	return nil
}

// create makes a whole, empty store beside its place and then gives it its name, unless another process did so first.
func create(path string) error {
	directory := filepath.Dir(path)
	file, err := os.CreateTemp(directory, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	temporary := file.Name()
	defer os.Remove(temporary) // gone already after a rename
	if err := file.Close(); err != nil {
		return err
	}
	if err := initialise(temporary); err != nil {
		return err
	}
	if err := putNew(temporary, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(directory)
}

func initialise(path string) error {
	db, err := bbolt.Open(path, fileMode, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucketName)
		return err
	})
	return errors.Join(err, db.Close())
}

// putNew gives a file its name unless the name is taken. A link does that in one step; some network and container file systems have none.
func putNew(temporary, path string) error {
	err := os.Link(temporary, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(temporary, path)
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// full marks the errors of a disk without room as kv.ErrFull. bbolt keeps only the words of some of them.
func full(err error) error {
	if err == nil {
		return nil
	}
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, cause) || strings.Contains(err.Error(), cause.Error()) {
			return fmt.Errorf("%w: %w", kv.ErrFull, err)
		}
	}
	return err
}
