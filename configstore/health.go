package configstore

import (
	"context"
	"errors"
	"fmt"

	"mcpsidecar/configstore/kv"
)

// Healthy says why the store cannot be read or written at present, or nil. It reads one small value. After a write that found no room it also tries a small write, so that the answer
// changes once there is room again, even if nobody else writes.
func (s *Store) Healthy(ctx context.Context) error {
	err := s.view(ctx, opHealthy, s.judgeSchema)
	if err != nil || !s.full.Load() {
		return err
	}
	err = s.update(ctx, opHealthy, func(tx kv.Tx) error { return tx.Put(keyProbe, []byte{1}) })
	if errors.Is(err, ErrFull) {
		return fmt.Errorf("the store can be read and not written; make room where %s is: %w", s.engine.Name(), err)
	}
	return err
}

// noteRoom remembers whether the last write found room, and tells the operator when that changes.
func (s *Store) noteRoom(err error) {
	switch {
	case errors.Is(err, ErrFull):
		if !s.full.Swap(true) {
			s.logger.Error("the disk is full; reads go on, writes fail until there is room", "store", s.engine.Name(), "error", err)
		}
	case err == nil && s.full.Swap(false):
		s.logger.Info("the disk has room again", "store", s.engine.Name())
	}
}
