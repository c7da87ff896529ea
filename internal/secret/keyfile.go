package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

const (
	keyFormat = "mcp-sidecar-keys/1"
	// maxKeyFile is far more than a thousand keys need.
	maxKeyFile = 1 << 20
	// othersMode are the bits nobody but the owner should have.
	othersMode = 0o077
)

// keyFile is the file's content.
type keyFile struct {
	Format string          `json:"format"`
	Keyset json.RawMessage `json:"keyset"`
	Derive []byte          `json:"derive"`
}

// badKey says what is wrong with the file and what to do.
func badKey(path, wrong string) error {
	return fmt.Errorf("%w: %s %s; restore the right file from where you keep your keys, or move this one away to begin with a new key and an empty store", ErrBadKey, path, wrong)
}

// readKeyFile reads and judges a key file. An absent one is fs.ErrNotExist.
func readKeyFile(path string) (*Keyring, error) {
	text, warnings, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	k, err := parseKeyFile(text)
	if err != nil {
		return nil, badKey(path, err.Error())
	}
	k.keys.warnings = warnings
	return k, nil
}

// readPrivate reads a file that only its owner may read, and makes it so.
func readPrivate(path string) (text []byte, warnings []string, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w; let the account that runs this program read it", ErrBadKey, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, badKey(path, "is not a regular file")
	}
	warnings, err = tighten(file, info.Mode().Perm())
	if err != nil {
		return nil, nil, err
	}
	text, err = io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: reading %s: %w", ErrBadKey, path, err)
	}
	return text, warnings, nil
}

// tighten takes the file's rights from everybody but its owner. Where that is impossible (a mounted secret on a read-only file system), a group may read it, because that is how
// orchestrators hand secrets to a process that is not root; the rest of the world may not.
func tighten(file *os.File, mode fs.FileMode) (warnings []string, err error) {
	if mode&othersMode == 0 {
		return nil, nil
	}
	err = file.Chmod(mode &^ othersMode)
	switch {
	case err == nil:
		return []string{fmt.Sprintf("the key file %s could be used by others (mode %04o); it is %04o now, but whoever read it before has the key", file.Name(), mode, mode&^othersMode)}, nil
	case mode&^fs.FileMode(0o740) == 0:
		return []string{fmt.Sprintf("the key file %s can be read by its group (mode %04o)", file.Name(), mode)}, nil
	}
	return nil, fmt.Errorf("%w: others can use %s (mode %04o), and the mode cannot be changed here (%w); run chmod 600 on it, or mount it with mode 0400", ErrBadKey, file.Name(), mode, err)
}

// parseKeyFile reads the file's content. The error continues a sentence that begins with the file's name, and never repeats the content.
func parseKeyFile(text []byte) (*Keyring, error) {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("is empty")
	case len(text) > maxKeyFile:
		return nil, errors.New("is too large for a key file")
	}
	var file keyFile
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&file) != nil {
		return nil, errors.New("is not a key file of mcp-sidecar, or it is cut short")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("has something behind its end")
	}
	if file.Format != keyFormat {
		return nil, fmt.Errorf("has an unknown format (this version knows %s)", keyFormat)
	}
	if err := judgeMaterial(file.Derive); err != nil {
		return nil, fmt.Errorf("holds a secret to derive from that %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file.Keyset)))
	if err != nil {
		return nil, errors.New("holds no usable keyset")
	}
	if err := judgeKeys(handle); err != nil {
		return nil, err
	}
	return newKeyring(handle, [32]byte(file.Derive))
}

// judgeKeys refuses a keyset with anything but strong AES-256-GCM keys.
func judgeKeys(handle *keyset.Handle) error {
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return errors.New("holds a key that cannot be read")
		}
		key, ok := entry.Key().(*aesgcm.Key)
		if !ok {
			return errors.New("holds a key that is not for AES-256-GCM")
		}
		if parameters, ok := key.Parameters().(*aesgcm.Parameters); !ok || parameters.Variant() != aesgcm.VariantTink {
			return errors.New("holds a key whose texts do not carry its number (the output prefix must be TINK)")
		}
		if err := judgeMaterial(key.KeyBytes().Data(insecuresecretdataaccess.Token{})); err != nil {
			return fmt.Errorf("holds a key that %w", err)
		}
	}
	return nil
}

// judgeMaterial refuses what was not made by a random source: 32 random bytes fail one of these tests less than once in 10^13 times.
func judgeMaterial(material []byte) error {
	switch {
	case len(material) != 32:
		return fmt.Errorf("has %d bytes instead of 32", len(material))
	case fewDifferent(material):
		return errors.New("repeats a few bytes, like a sample")
	case steady(material):
		return errors.New("counts, like a sample")
	case typed(material):
		return errors.New("is a typed text, not random bytes")
	}
	return nil
}

func fewDifferent(material []byte) bool {
	var seen [256]bool
	different := 0
	for _, b := range material {
		if !seen[b] {
			seen[b] = true
			different++
		}
	}
	return different <= 16
}

// steady finds bytes that all differ from the one before by the same step.
func steady(material []byte) bool {
	for i := 2; i < len(material); i++ {
		if material[i]-material[i-1] != material[1]-material[0] {
			return false
		}
	}
	return true
}

func typed(material []byte) bool {
	for _, b := range material {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}
