package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"mcpsidecar/internal/secret"
)

const canary = "canary-Zq8#text"

// forms are what must not be found: the text itself, and what %x, %q and %d make of it.
func forms() []string {
	return []string{
		canary,
		fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("% x", canary),
		strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
	}
}

func mustNotShow(t *testing.T, how, output string) {
	t.Helper()
	for _, form := range forms() {
		if strings.Contains(output, form) {
			t.Errorf("%s shows the secret: %s", how, output)
		}
	}
}

type holder struct {
	Open   secret.Value
	closed secret.Value
	deep   *struct{ inner []secret.Value }
	byName map[string]secret.Value
}

type document struct{ V secret.Value }

func held() holder {
	v := secret.New(canary)
	h := holder{Open: v, closed: v, byName: map[string]secret.Value{"a": v}}
	h.deep = &struct{ inner []secret.Value }{inner: []secret.Value{v}}
	return h
}

func TestNoVerbPrintsTheText(t *testing.T) {
	v := secret.New(canary)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%p", "%T", "%08.3f", "%c", "%U"} {
		mustNotShow(t, verb+" of a value", fmt.Sprintf(verb, v))
		mustNotShow(t, verb+" of a pointer", fmt.Sprintf(verb, &v))
		mustNotShow(t, verb+" of a holder", fmt.Sprintf(verb, held()))
		mustNotShow(t, verb+" of a holder's pointer", fmt.Sprintf(verb, &holder{closed: v}))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, v); got != "[redacted]" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	mustNotShow(t, "an error", fmt.Errorf("with %v: %w", v, errors.New("x")).Error())
}

func TestNoEncoderShowsTheText(t *testing.T) {
	h := held()
	text, err := json.Marshal(map[string]any{"v": h.Open, "h": h, "m": map[string]secret.Value{"a": h.Open}})
	if err != nil {
		t.Fatal(err)
	}
	mustNotShow(t, "JSON", string(text))
	if !strings.Contains(string(text), `"v":"[redacted]"`) {
		t.Errorf("JSON is %s", text)
	}

	text, err = xml.Marshal(document{h.Open})
	if err != nil {
		t.Fatal(err)
	}
	mustNotShow(t, "XML", string(text))

	var binary bytes.Buffer
	if err := gob.NewEncoder(&binary).Encode(document{h.Open}); err == nil {
		mustNotShow(t, "gob", binary.String())
	}
}

func TestNoLoggerShowsTheText(t *testing.T) {
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "v", held().Open, "h", held(), "p", &holder{closed: held().Open}, slog.Any("m", held().byName))
	}
	mustNotShow(t, "slog", out.String())
	if !strings.Contains(out.String(), "[redacted]") {
		t.Errorf("the log is %s", out.String())
	}
}

func TestJSONDoesNotComeBack(t *testing.T) {
	var v secret.Value
	//lint:ignore SA9005 that nothing is decoded is the point
	if err := json.Unmarshal([]byte(`"text"`), &v); err == nil {
		t.Error("a Value was decoded; then somebody will store one as JSON, and lose it")
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "", false}, {"a", "aa", false}, {canary, canary, true},
	} {
		if got := secret.New(c.a).Equal(secret.New(c.b)); got != c.want {
			t.Errorf("Equal(%q, %q) = %t", c.a, c.b, got)
		}
	}
	if reflect.TypeFor[secret.Value]().Comparable() {
		t.Error("== compiles; it would compare addresses")
	}
}

func TestZero(t *testing.T) {
	var zero secret.Value
	if !zero.IsZero() || !secret.New("").IsZero() || zero.Reveal() != "" {
		t.Error("the zero Value is not empty")
	}
	if v := secret.New(canary); v.IsZero() || v.Reveal() != canary {
		t.Error("Reveal does not give the text back")
	}
	if got := fmt.Sprint(zero); got != "[redacted]" {
		t.Errorf("the zero Value prints %q; it should not tell that there is nothing", got)
	}
}

func TestSame(t *testing.T) {
	a := secret.New("x")
	if b := a; !a.Same(b) {
		t.Error("a copy is not the same")
	}
	if a.Same(secret.New("x")) || a.Same(secret.Value{}) || !(secret.Value{}).Same(secret.Value{}) {
		t.Error("Same goes by the text")
	}
}
