package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Rotate adds a key to a key file and makes it the one that seals. What was sealed before still opens, with this file; sealing it anew is up to whoever stored it
// (configstore.Store.Reseal). It is safe to interrupt: the file is the old one or the new one. Two rotations at the same time may lose one of the two new keys, so only a
// program that holds the store may call it.
func Rotate(path string) (*Keyring, error) {
	present, _, err := LoadKeyring(path, false)
	if err != nil {
		return nil, err
	}
	next, err := present.Rotated()
	if err != nil {
		return nil, err
	}
	if err := replaceKeyFile(path, next); err != nil {
		return nil, fmt.Errorf("writing the key file %s: %w", path, err)
	}
	return next, nil
}

// createKeyFile writes a key file where there is none, and the directory, too; fs.ErrExist if there is a file by now.
func createKeyFile(path string, k *Keyring) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeBeside(path, k, func(temporary string) error { return putNew(temporary, path) })
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

// replaceKeyFile writes a key file over the present one. A symbolic link is followed, not replaced.
func replaceKeyFile(path string, k *Keyring) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return writeBeside(path, k, func(temporary string) error { return os.Rename(temporary, path) })
}

// writeBeside writes the whole content to a file in the same directory (mode 0600, which os.CreateTemp gives), flushes it, has it put in place, and flushes the directory.
func writeBeside(path string, k *Keyring, put func(temporary string) error) (err error) {
	text, err := marshalKeyFile(k)
	if err != nil {
		return err
	}
	directory := filepath.Dir(path)
	file, err := os.CreateTemp(directory, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // gone already after a rename
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := put(file.Name()); err != nil {
		return err
	}
	return syncDirectory(directory)
}

func marshalKeyFile(k *Keyring) ([]byte, error) {
	var set bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.keys.handle, keyset.NewJSONWriter(&set)); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(keyFile{Format: keyFormat, Keyset: set.Bytes(), Derive: k.keys.derive[:]}, "", "  ")
	return append(text, '\n'), err
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
