package configstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

// shapes are the ways in which a text could hide in a file: raw, hex, URL-encoded, UTF-16, and base64 in each alignment and alphabet.
func shapes(canary string) map[string][]byte {
	found := map[string][]byte{
		"raw": []byte(canary), "hex": []byte(hex.EncodeToString([]byte(canary))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(canary)))),
		"url": []byte(url.QueryEscape(canary)),
	}
	var little, big []byte
	for _, unit := range utf16.Encode([]rune(canary)) {
		little = append(little, byte(unit), byte(unit>>8))
		big = append(big, byte(unit>>8), byte(unit))
	}
	found["utf-16le"], found["utf-16be"] = little, big
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			text := encoding.EncodeToString(append(make([]byte, shift), canary...))
			from, to := (shift*8+5)/6, len(text)-len(text)%4 // the characters that depend on the canary alone
			found[fmt.Sprintf("%s+%d", name, shift)] = []byte(text[from:to])
		}
	}
	return found
}

// sweep names the shapes of canaries that a text holds.
func sweep(text []byte, canaries []string) (hits []string) {
	for _, canary := range canaries {
		for shape, form := range shapes(canary) {
			if bytes.Contains(text, form) {
				hits = append(hits, canary+" as "+shape)
			}
		}
	}
	return hits
}

func TestTheSweepFindsWhatIsThere(t *testing.T) {
	const canary = "canary?>~-0042-ü"
	for shape, form := range shapes(canary) {
		if hits := sweep(append([]byte("before"), form...), []string{canary}); len(hits) == 0 {
			t.Errorf("it does not find %s", shape)
		}
	}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + canary + "behind"))
		if hits := sweep([]byte(text), []string{canary}); len(hits) == 0 {
			t.Errorf("it does not find base64 at offset %d", shift)
		}
	}
}

func TestNoFileShowsASecret(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "store.db")
	store := mustOpen(t, path)
	var canaries []string
	canary := func(of string) secret.Value {
		text := fmt.Sprintf("canary?>~-%04d-%s", len(canaries), of)
		canaries = append(canaries, text)
		return secret.New(text)
	}
	var servers []configstore.Server
	for i := range 60 {
		s := example(fmt.Sprintf("s%d", i))
		s.APIKeyValue, s.OAuth2ClientSecret = canary("key"), canary("client")
		s.CustomHeaders = map[string]secret.Value{"X-A": canary("header"), "X-B": canary("header")}
		created, err := store.CreateServer(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, created)
	}
	for i, s := range servers {
		if i%2 == 0 {
			if err := store.DeleteServer(t.Context(), s.ID); err != nil {
				t.Fatal(err)
			}
			continue
		}
		_, err := store.UpdateServer(t.Context(), s.ID, func(s *configstore.Server) error { s.APIKeyValue = canary("new"); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	writeBackup(t, store, filepath.Join(directory, "copy.db"))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, entry := range entries {
		if hits := sweep(read(t, filepath.Join(directory, entry.Name())), canaries); len(hits) > 0 {
			t.Errorf("%s shows %d secrets: %s", entry.Name(), len(hits), hits[0])
		}
	}
	planted := append(read(t, path), canaries[7]...)
	if len(sweep(planted, canaries)) != 1 {
		t.Error("a planted secret is not found")
	}
}
