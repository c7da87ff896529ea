package boltkv

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"mcpsidecar/configstore/kv"
)

// What Open can say, wrapped with the file's name and what to do about it. In every case the file is as it was.
var (
	ErrLocked  = kv.ErrInUse
	ErrDamaged = kv.ErrDamaged
	ErrForeign = kv.ErrForeign
)

const (
	// lockPatience is how long a process that is just ending may still hold the file.
	lockPatience = 400 * time.Millisecond
	lockPause    = 20 * time.Millisecond
	// mapSize is address space, not memory: below it a growing file needs no new mapping, for which a writer would have to wait for every reader.
	mapSize = 64 << 20
	// growStep is by how much the file grows beyond what it needs. Small, so that a file that was cut is seen to be cut: bbolt notes nowhere how long its file should be.
	growStep = 16 << 10
)

var bucketName = []byte("records")

// Config is what an engine needs.
type Config struct {
	Path   string       // required: the file; it and its directory are made where they are missing
	Logger *slog.Logger // told what an operator should know about a file that still opens; nil: discards
}

// Open opens the file, or makes it (mode 0600, directory 0700) where there is none.
func Open(path string) (kv.Engine, error) { return OpenWith(Config{Path: path}) }

// OpenWith is Open with a logger.
func OpenWith(config Config) (kv.Engine, error) {
	logger := config.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if err := prepareDirectory(filepath.Dir(config.Path), logger); err != nil {
		return nil, err
	}
	file, err := openOrCreate(config.Path)
	if err != nil {
		return nil, err
	}
	db, err := openLocked(file, config.Path, logger)
	if err != nil {
		file.Close()
		return nil, err
	}
	return newEngine(db, config.Path), nil
}

// Check judges a file that nobody has open, a backup for instance, without changing it. nil means that it would open.
func Check(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	defer file.Close()
	_, err = judge(file, path)
	return err
}

func openOrCreate(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("making the store %s: %w", path, full(err))
		}
		file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w; let the account that runs this program read and write it", err)
	}
	return file, nil
}

// openLocked locks, judges, tightens and opens, in this order.
func openLocked(file *os.File, path string, logger *slog.Logger) (*bbolt.DB, error) {
	if err := lock(file, path); err != nil {
		return nil, err
	}
	found, err := judge(file, path)
	if err != nil {
		return nil, err
	}
	if found.damagedHeader {
		logger.Warn("one of the two header pages of the store is damaged; it was opened by the other one, and the last write before the damage may be missing: make a backup", "file", path)
	}
	if err := tightenFile(file, path, logger); err != nil {
		return nil, err
	}
	return openBolt(file, path)
}

// lock takes the lock that bbolt will take, on the same open file: for the kernel both are one.
func lock(file *os.File, path string) error {
	for waited := time.Duration(0); ; waited += lockPause {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("locking the store %s: %w", path, err)
		case waited >= lockPatience:
			return fmt.Errorf("%s: %w by another process: stop that one, or choose another data directory", path, ErrLocked)
		}
		time.Sleep(lockPause)
	}
}

// judge checks the whole file and turns what is wrong into words for an operator.
func judge(file *os.File, path string) (findings, error) {
	info, err := file.Stat()
	if err != nil {
		return findings{}, fmt.Errorf("opening the store %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return findings{}, fmt.Errorf("%s: %w: it is not a regular file; name another one", path, ErrForeign)
	}
	found, err := check(file, info.Size())
	switch {
	case errors.Is(err, ErrForeign):
		return found, fmt.Errorf("%s: %w; restore a backup over it, or move it away to begin with an empty store", path, err)
	case errors.Is(err, ErrDamaged):
		return found, fmt.Errorf("%s: %w; it was left as it is: restore a backup over it, or move it away to begin with an empty store", path, err)
	case err != nil:
		return found, fmt.Errorf("reading the store %s: %w", path, err)
	}
	return found, nil
}

// openBolt hands the file over. What check cannot foresee must not end the process: bbolt's panics and faults of its memory map become errors.
func openBolt(file *os.File, path string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%s: %w (%v): restore a backup over it", path, ErrDamaged, r)
		}
	}()
	db, err = bbolt.Open(path, fileMode, &bbolt.Options{
		Timeout:         lockPatience,
		InitialMmapSize: mapSize,
		OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return file, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", path, full(err))
	}
	db.AllocSize = growStep
	return db, nil
}
