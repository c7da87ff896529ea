package admin

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/policy"
)

// What a request may bring.
const (
	maxBody   = 1 << 20
	maxDepth  = 16 // an honest body has two levels
	bodyGrace = 30 * time.Second
)

// form knows the fields of one type of input: a struct, whose fields have JSON names.
type form struct {
	fields map[string][]int // index by JSON name
}

// judging is an input that goes on to judge its fields: it keeps what was wrong with them, so that one answer can name everything.
type judging interface{ keep([]policy.FieldError) }

func formOf(input reflect.Type) form {
	f := form{fields: map[string][]int{}}
	for _, field := range reflect.VisibleFields(input) {
		if name := jsonName(field); name != "" {
			f.fields[name] = field.Index
		}
	}
	return f
}

// jsonName returns the name a field has in JSON, or nothing if it has none there.
func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if !field.IsExported() || field.Anonymous || name == "-" {
		return ""
	}
	return name
}

// read fills in, a pointer to the form's struct, from a request.
func (f form) read(w http.ResponseWriter, r *http.Request, in any) error {
	into := reflect.ValueOf(in).Elem()
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return f.settle(in, f.fromQuery(r.URL, into))
	}
	if len(f.fields) == 0 || needsNoBody(in) && r.ContentLength == 0 {
		return nil
	}
	if err := speaksJSON(r.Header); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := wellFormed(body); err != nil {
		return err
	}
	return f.settle(in, f.fromObject(body, into))
}

// needsNoBody says that an input may be left out altogether.
func needsNoBody(in any) bool {
	_, optional := in.(interface{ bodyless() })
	return optional
}

// settle hands what is wrong to an input that can go on with it, and otherwise ends the request.
func (f form) settle(in any, problems []policy.FieldError) error {
	if in, ok := in.(judging); ok {
		in.keep(problems)
		return nil
	}
	return invalid(problems)
}

// speaksJSON says no to what a page of another site could send without asking, and to what would have to be unpacked first.
func speaksJSON(header http.Header) error {
	types := header["Content-Type"]
	if len(types) != 1 || header.Get("Content-Encoding") != "" {
		return errMediaType
	}
	media, params, err := mime.ParseMediaType(types[0])
	if err != nil || media != "application/json" {
		return errMediaType
	}
	if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return errMediaType
	}
	return nil
}

// readBody reads the body whole, within its size and its time.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(bodyGrace)) // not every connection has one; the listener's own limits hold then
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errTooSlow
	}
	if err != nil {
		return nil, errUnreadable
	}
	control.SetReadDeadline(time.Time{})
	return body, nil
}

// wellFormed accepts exactly one JSON object in which no name occurs twice.
func wellFormed(body []byte) error {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.ReadToken()
		if err != nil {
			return malformed(err)
		}
		if decoder.StackDepth() > maxDepth {
			return errTooDeep
		}
		if decoder.StackDepth() == 0 {
			if token.Kind() != '}' {
				return errNoObject
			}
			break
		}
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return errTrailing
	}
	return nil
}

func malformed(err error) error {
	syntactic := (*jsontext.SyntacticError)(nil)
	if !errors.Is(err, jsontext.ErrDuplicateName) || !errors.As(err, &syntactic) {
		return errNoJSON
	}
	path := slices.Collect(syntactic.JSONPointer.Tokens())
	switch len(path) {
	case 0:
		return errNoJSON
	case 1:
		return invalid([]policy.FieldError{problem(publicName(path[0]), "is given twice")})
	}
	return invalid([]policy.FieldError{problem(publicName(path[0]), "holds the same name twice")})
}

// fromObject fills a struct field by field, so that each wrong field is named and not only the first.
func (f form) fromObject(body []byte, into reflect.Value) (problems []policy.FieldError) {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	decoder.ReadToken() // the object opens: wellFormed saw it
	for decoder.PeekKind() == '"' {
		token, _ := decoder.ReadToken()
		name := token.String()
		value, _ := decoder.ReadValue()
		index, known := f.fields[name]
		if !known {
			problems = append(problems, problem(publicName(name), "is not a field of this request"))
			continue
		}
		field := into.FieldByIndex(index)
		if err := json.Unmarshal(value, field.Addr().Interface()); err != nil {
			field.SetZero()
			problems = append(problems, problem(name, wanted(field.Type())))
		}
	}
	return problems
}

// fromQuery fills the text fields of a struct from a query.
func (f form) fromQuery(from *url.URL, into reflect.Value) (problems []policy.FieldError) {
	values, err := url.ParseQuery(from.RawQuery)
	if err != nil {
		return []policy.FieldError{problem("query", "cannot be read")}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		index, known := f.fields[name]
		switch {
		case !known:
			problems = append(problems, problem(publicName(name), "is not a parameter of this request"))
		case len(values[name]) > 1:
			problems = append(problems, problem(name, "may be given only once"))
		default:
			into.FieldByIndex(index).SetString(values[name][0])
		}
	}
	return problems
}

// wanted says what a field of a type takes. It never says what it got.
func wanted(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[secretText](), t.Kind() == reflect.String:
		return "must be a string"
	case t.Kind() == reflect.Bool:
		return "must be true or false"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "must be a whole number"
	case t.Kind() == reflect.Slice:
		return "must be a list of strings"
	}
	return "must be an object whose values are strings"
}

// publicName repeats the name of a field that no request has only if it looks like the name of one: people paste secrets in the strangest places.
func publicName(name string) string {
	digits := 0
	for _, c := range name {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		default:
			return "(a name)"
		}
	}
	if name == "" || len(name) > 40 || digits > 2 {
		return "(a name)"
	}
	return name
}
