package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Backup writes a copy of the file as it is at one moment. The copy is taken to a nameless file (mode 0600) in the same directory first: a reader on the other end of a slow line would
// otherwise hold a read transaction open, and with it every page that writers free meanwhile.
func (e *engine) Backup(ctx context.Context, w io.Writer) error {
	if err := e.ready(ctx); err != nil {
		return err
	}
	spool, err := nameless(filepath.Dir(e.path), filepath.Base(e.path)+".backup-*")
	if err != nil {
		return fmt.Errorf("making a backup: %w", full(err))
	}
	defer spool.Close()
	err = e.guard(func() error {
		return e.db.View(func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(cancellable{ctx, spool})
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("making a backup: %w", e.explain(err))
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("making a backup: %w", err)
	}
	if _, err := io.Copy(cancellable{ctx, w}, spool); err != nil {
		return fmt.Errorf("sending the backup: %w", err)
	}
	return nil
}

// nameless makes a file that vanishes with the process.
func nameless(directory, pattern string) (*os.File, error) {
	file, err := os.CreateTemp(directory, pattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// cancellable is a writer that ends with a context.
type cancellable struct {
	ctx context.Context
	to  io.Writer
}

func (c cancellable) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.to.Write(p)
}
