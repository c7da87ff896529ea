package configstore

import (
	"encoding/json"

	"mcpsidecar/internal/secret"
)

// For the fuzz test: records as they are stored, without the seal over the whole, which nothing invented would pass.

// DecodeServer reads a stored server from its JSON.
func DecodeServer(keyring *secret.Keyring, text []byte) (Server, error) {
	var stored serverRecord
	if err := unmarshal(text, &stored); err != nil {
		return Server{}, err
	}
	return codecOf(keyring).openServer(stored)
}

// EncodeServer writes a server as JSON.
func EncodeServer(keyring *secret.Keyring, server Server) ([]byte, error) {
	stored, err := codecOf(keyring).sealServer(server)
	if err != nil {
		return nil, err
	}
	return json.Marshal(stored)
}

// DecodeToken reads a stored token from its JSON.
func DecodeToken(text []byte) (APIToken, error) {
	var stored tokenRecord
	if err := unmarshal(text, &stored); err != nil {
		return APIToken{}, err
	}
	return openToken(stored)
}

// EncodeToken writes a token as JSON.
func EncodeToken(token APIToken) ([]byte, error) { return json.Marshal(storedToken(token)) }

// DecodeCatalog reads a stored catalog from its JSON.
func DecodeCatalog(text []byte) (Catalog, error) {
	var stored catalogRecord
	if err := unmarshal(text, &stored); err != nil {
		return Catalog{}, err
	}
	return openCatalog(stored)
}

// EncodeCatalog writes a catalog as JSON.
func EncodeCatalog(catalog Catalog) ([]byte, error) { return json.Marshal(storedCatalog(catalog)) }

// Unwrap opens a value's seal.
func Unwrap(keyring *secret.Keyring, key string, value []byte) ([]byte, error) {
	return codecOf(keyring).unwrap(key, value)
}

// AgainOAuth reads a stored grant, flow, link or registration from its JSON, writes it and reads it again; nil if the text is none.
func AgainOAuth(keyring *secret.Keyring, kind string, text []byte) (once, twice any, err error) {
	c := codecOf(keyring)
	switch kind {
	case "grant":
		return readTwice(text, c.openGrant, c.sealGrant)
	case "flow":
		return readTwice(text, c.openFlow, c.sealFlow)
	case "link":
		return readTwice(text, openLink, func(l Link) (linkRecord, error) { return storedLink(l), nil })
	}
	return readTwice(text, c.openRegistration, c.sealRegistration)
}

func readTwice[D, R any](text []byte, open func(D) (R, error), seal func(R) (D, error)) (once, twice any, err error) {
	var stored D
	if unmarshal(text, &stored) != nil {
		return nil, nil, nil
	}
	first, err := open(stored)
	if err != nil {
		return nil, nil, nil
	}
	if stored, err = seal(first); err != nil {
		return first, nil, err
	}
	if text, err = json.Marshal(stored); err != nil {
		return first, nil, err
	}
	stored = *new(D)
	if err := unmarshal(text, &stored); err != nil {
		return first, nil, err
	}
	second, err := open(stored)
	return first, second, err
}
