package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
	"mcpsidecar/policy"
)

// a server with a slug, and with every secret.
func server(slug string) configstore.Server {
	s := configstore.Server{
		ID: configstore.NewID(), DisplayName: "Server " + slug, Slug: slug, Transport: configstore.StreamableHTTP, URL: "https://" + slug + ".example/mcp",
		AuthType: configstore.AuthAPIKey, APIKeyValue: secret.New("key of " + slug), OAuth2ClientSecret: secret.New("client secret of " + slug),
		CustomHeaders: map[string]secret.Value{"X-One": secret.New("one of " + slug), "X-Two": secret.New("two of " + slug)},
		CreatedBy:     "alice", UpdatedBy: "alice",
	}
	s.Rules.Availability = policy.DefaultOn
	s.Normalize()
	return s
}

func token(id, user string) configstore.APIToken {
	return configstore.APIToken{ID: id, Hash: [32]byte{1, 2, 3, byte(len(id))}, Name: "token " + id, Role: "user", User: user, CreatedBy: "alice"}
}

func baseline(tools ...string) policy.Baseline {
	b := policy.Baseline{}
	for _, tool := range tools {
		b[tool] = policy.Approval{Print: policy.Print{InputSchema: "print of " + tool}, ReadOnly: true}
	}
	return b
}

func (s *subject) create(server configstore.Server) configstore.Server {
	s.t.Helper()
	created, err := s.step().CreateServer(s.ctx(), server)
	if err != nil {
		s.t.Fatal(err)
	}
	return created
}

func (s *subject) update(id string, change func(*configstore.Server)) configstore.Server {
	s.t.Helper()
	updated, err := s.step().UpdateServer(s.ctx(), id, func(server *configstore.Server) error { change(server); return nil })
	if err != nil {
		s.t.Fatal(err)
	}
	return updated
}

func (s *subject) approve(id string, tools ...string) {
	s.t.Helper()
	stored, err := s.step().ApproveCatalog(s.ctx(), configstore.Catalog{ServerID: id, Baseline: baseline(tools...), ApprovedBy: "alice"}, 0, false)
	if err != nil || !stored {
		s.t.Fatalf("stored %t, %v", stored, err)
	}
}

// stored holds what the store has against a server.
func (s *subject) stored(want configstore.Server) {
	s.t.Helper()
	got, err := s.step().Server(s.ctx(), want.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	same(s.t, got, want)
}

func (s *subject) slugsAre(want ...string) {
	s.t.Helper()
	servers, err := s.step().Servers(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, server := range servers {
		got = append(got, server.Slug)
	}
	same(s.t, got, want)
}

func (s *subject) hasCatalog(id string, want bool) {
	s.t.Helper()
	_, err := s.step().Catalog(s.ctx(), id)
	switch {
	case want && err != nil:
		s.t.Errorf("the catalog is gone: %v", err)
	case !want && !errors.Is(err, configstore.ErrNotFound):
		s.t.Errorf("the catalog: %v, want ErrNotFound", err)
	}
}

// same compares deeply. Secrets compare by their texts, since DeepEqual follows the pointer; they print as [redacted], so a difference there is named by revealing it.
func same(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", revealed(got), revealed(want))
	}
}

func revealed(v any) string {
	s, ok := v.(configstore.Server)
	if !ok {
		return fmt.Sprintf("%+v", v)
	}
	headers := ""
	for name, value := range s.CustomHeaders {
		headers += fmt.Sprintf(" %s=%q", name, value.Reveal())
	}
	return fmt.Sprintf("%+v (client secret %q, key %q, headers%s)", s, s.OAuth2ClientSecret.Reveal(), s.APIKeyValue.Reveal(), headers)
}

func expect(t testing.TB, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", doing, err, want)
	}
}

// filler gives every field of a record a value of its own, so that a field that somebody adds and forgets to store fails the test.
type filler struct{ n int }

func (f *filler) next() int { f.n++; return f.n }

func (f *filler) fill(v reflect.Value) {
	switch v.Interface().(type) {
	case secret.Value:
		v.Set(reflect.ValueOf(secret.New(fmt.Sprintf("secret \xff %d", f.next()))))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 1, 0, 0, f.next(), 987654321, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text-%d", f.next()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(f.next()))
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(uint64(f.next() % 256))
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	default:
		panic("storetest: the filler does not know " + v.Type().String())
	}
}

// filled is a record with every field set.
func filled[R any]() R {
	var record R
	(&filler{}).fill(reflect.ValueOf(&record).Elem())
	return record
}
