package secret

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// What opening can say.
var (
	ErrWrongKey = errors.New("the key does not open this")
	ErrBadKey   = errors.New("the key file cannot be used")
)

// Keyring seals and opens. Safe for concurrent use.
type Keyring struct {
	keys *keys // behind a pointer, so that printing a Keyring shows an address
}

// keys is what a key file holds, ready for use. All of it is fixed at creation.
type keys struct {
	handle   *keyset.Handle
	aead     tink.AEAD
	derive   [32]byte
	warnings []string
}

// LoadKeyring reads a key file, or makes one with mode 0600 where there is none and create is true. made says that it did.
// Every error but that of a full disk or a forbidden directory wraps ErrBadKey and says what to do.
func LoadKeyring(path string, create bool) (k *Keyring, made bool, err error) {
	k, err = readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	if !create {
		return nil, false, fmt.Errorf("%w: %s does not exist; restore it from where you keep your keys: without it the stored secrets cannot be read (%w)",
			ErrBadKey, path, fs.ErrNotExist)
	}
	k, err = NewKeyring()
	if err != nil {
		return nil, false, err
	}
	err = createKeyFile(path, k)
	if errors.Is(err, fs.ErrExist) { // another process was faster: its key counts
		k, err = readKeyFile(path)
		return k, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("writing the key file %s: %w", path, err)
	}
	return k, true, nil
}

// NewKeyring makes a keyring in memory, with one new key.
func NewKeyring() (*Keyring, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	var derive [32]byte
	rand.Read(derive[:]) // never fails: crypto/rand ends the program instead
	return newKeyring(handle, derive)
}

func newKeyring(handle *keyset.Handle, derive [32]byte) (*Keyring, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("preparing the keys: %w", err)
	}
	return &Keyring{&keys{handle: handle, aead: primitive, derive: derive}}, nil
}

// Rotated returns a keyring with one more key, which seals from now on; what the present keys sealed still opens, and what is derived stays the same.
func (k *Keyring) Rotated() (*Keyring, error) {
	manager := keyset.NewManagerFromHandle(k.keys.handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("choosing the new key: %w", err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("adding the new key: %w", err)
	}
	return newKeyring(handle, k.keys.derive)
}

// Warnings are what the operator should hear about the key file: that others could read it. For the log.
func (k *Keyring) Warnings() []string { return append([]string(nil), k.keys.warnings...) }

// Len is how many keys there are, the one that seals among them.
func (k *Keyring) Len() int { return k.keys.handle.Len() }

// Newest says whether a text was sealed by the key that seals now.
func (k *Keyring) Newest(sealed []byte) bool {
	primary, err := k.keys.handle.Primary()
	const prefix = 5 // of what Tink seals: one byte, and the number of the key
	return err == nil && len(sealed) >= prefix && binary.BigEndian.Uint32(sealed[1:prefix]) == primary.KeyID()
}

// Seal encrypts a text for one place. Two seals of the same text differ.
func (k *Keyring) Seal(plain []byte, place string) ([]byte, error) {
	sealed, err := k.keys.aead.Encrypt(plain, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same place; anything else is ErrWrongKey.
func (k *Keyring) Open(sealed []byte, place string) ([]byte, error) {
	plain, err := k.keys.aead.Decrypt(sealed, []byte(place))
	if err != nil {
		return nil, ErrWrongKey // Tink's words say no more
	}
	return plain, nil
}

// Derive returns a key for a purpose that needs no rotation of stored data (session ids). The same key file and purpose give the same 32 bytes, before and after a rotation.
func (k *Keyring) Derive(purpose string) ([32]byte, error) {
	var key [32]byte
	derived, err := hkdf.Key(sha256.New, k.keys.derive[:], nil, purpose, len(key))
	if err != nil {
		return key, fmt.Errorf("deriving a key: %w", err)
	}
	copy(key[:], derived)
	return key, nil
}

// String keeps keys out of logs.
func (k *Keyring) String() string { return "a keyring" }

// GoString keeps them out of %#v, too.
func (k *Keyring) GoString() string { return k.String() }
