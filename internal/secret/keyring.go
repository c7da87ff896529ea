package secret

import "errors"

// What opening can say.
var (
	ErrWrongKey = errors.New("the key does not open this")
	ErrBadKey   = errors.New("the key file cannot be used")
)

// Keyring seals and opens. Safe for concurrent use.
type Keyring struct{}

// LoadKeyring reads a keyset file, or makes one with mode 0600 where there is none and create is true. made says that it did.
func LoadKeyring(path string, create bool) (k *Keyring, made bool, err error) { panic("unbuilt") }

// NewKeyring makes a keyring in memory, for tests.
func NewKeyring() (*Keyring, error) { panic("unbuilt") }

// Seal encrypts a text for one place. Two seals of the same text differ.
func (k *Keyring) Seal(plain []byte, place string) ([]byte, error) { panic("unbuilt") }

// Open decrypts what Seal made for the same place; anything else is ErrWrongKey.
func (k *Keyring) Open(sealed []byte, place string) ([]byte, error) { panic("unbuilt") }

// Derive returns a fast AEAD-ready key for a purpose that needs no rotation of stored data (session ids). The same keyring and purpose give the same 32 bytes.
func (k *Keyring) Derive(purpose string) ([32]byte, error) { panic("unbuilt") }
