// Package boltkv is the kv engine on one bbolt file.
package boltkv

import (
	"errors"

	"mcpsidecar/configstore/kv"
)

// What Open can say, wrapped with the file's name and what to do about it. In every case the file is as it was.
var (
	ErrLocked  = errors.New("the store is in use by another process")
	ErrDamaged = errors.New("the store is damaged")
	ErrForeign = errors.New("the file is not a store of mcp-sidecar")
)

// Open opens the file, or makes it (mode 0600, directory 0700) where there is none.
func Open(path string) (kv.Engine, error) { panic("unbuilt") }
