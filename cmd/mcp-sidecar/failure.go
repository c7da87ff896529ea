package main

import (
	"errors"
	"fmt"
	"syscall"

	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/internal/secret"
)

// listenError says that an address could not be listened on.
type listenError struct {
	flag, address string
	cause         error
}

func (e listenError) Error() string {
	remedy := "choose another address with " + e.flag
	switch {
	case errors.Is(e.cause, syscall.EADDRINUSE):
		return fmt.Sprintf("%s %s is in use by another program: stop that, or %s", e.flag, e.address, remedy)
	case errors.Is(e.cause, syscall.EACCES):
		return fmt.Sprintf("%s %s needs rights that this user does not have: %s", e.flag, e.address, remedy)
	}
	return fmt.Sprintf("%s %s cannot be listened on (%v): %s", e.flag, e.address, e.cause, remedy)
}

func (e listenError) Unwrap() error { return e.cause }

// explain says in the words of the flags what is wrong with the start, where the package that found it cannot know them.
func explain(err error, o options) error {
	switch {
	case errors.Is(err, secret.ErrWrongKey):
		return fmt.Errorf("%s was made with another key than %s: start with its own, with --key-file. Nothing was changed", o.storeFile(), o.keyPath())
	case errors.Is(err, boltkv.ErrLocked):
		return fmt.Errorf("the data in %s is in use by another process: stop that one, or choose another --data-dir", o.dataDir)
	}
	return err
}
