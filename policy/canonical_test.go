package policy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mcpsidecar/policy"
)

// plainFingerprint is the definition of a fingerprint in the plainest words, with encoding/json. Prints are stored: the quick one must never differ.
func plainFingerprint(definition []byte) (print policy.Print, readOnly bool, err error) {
	tool, err := readDefinition(definition)
	if err != nil {
		return policy.Print{}, false, err
	}
	print = policy.Print{
		Description:  digest(parts(tool, "title", "description")),
		InputSchema:  digest(map[string]any{"inputSchema": tool["inputSchema"]}),
		OutputSchema: digest(parts(tool, "outputSchema")),
		Annotations:  digest(parts(tool, "annotations")),
	}
	annotations, _ := tool["annotations"].(map[string]any)
	readOnly, _ = annotations["readOnlyHint"].(bool)
	return print, readOnly, nil
}

// parts picks the members that are there.
func parts(object map[string]any, names ...string) map[string]any {
	picked := map[string]any{}
	for _, name := range names {
		if value, found := object[name]; found {
			picked[name] = value
		}
	}
	return picked
}

// digest hashes the canonical form of a part; a part that is not there has none.
func digest(part map[string]any) string {
	if len(part) == 0 {
		return ""
	}
	sum := sha256.Sum256(appendCanonical(nil, part))
	return hex.EncodeToString(sum[:])
}

// appendCanonical writes a value so that no two values are written alike: each with its kind and, where it has one, its length. Members are sorted by name. It is our own form because prints
// are stored, and no library promises never to escape a character differently.
func appendCanonical(dst []byte, value any) []byte {
	switch value := value.(type) {
	case nil:
		return append(dst, 'n')
	case bool:
		return strconv.AppendBool(dst, value)
	case json.Number:
		return appendCounted(dst, '#', value.String())
	case string:
		return appendCounted(dst, '"', value)
	case []any:
		dst = fmt.Appendf(dst, "[%d:", len(value))
		for _, element := range value {
			dst = appendCanonical(dst, element)
		}
		return dst
	case map[string]any:
		dst = fmt.Appendf(dst, "{%d:", len(value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			dst = appendCanonical(appendCounted(dst, '"', name), value[name])
		}
		return dst
	}
	panic(fmt.Sprintf("policy: %T is no JSON value", value))
}

func appendCounted(dst []byte, kind byte, text string) []byte {
	return fmt.Appendf(dst, "%c%d:%s", kind, len(text), text)
}

// readDefinition reads one JSON object strictly.
func readDefinition(text []byte) (map[string]any, error) {
	if !json.Valid(text) {
		return nil, errors.New("it is not valid JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := readValue(decoder, 128)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is not a JSON object")
	}
	return object, nil
}

// readValue reads the next value; depth is how many levels of nesting are left.
func readValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delim, nested := token.(json.Delim)
	switch {
	case !nested:
		return token, nil
	case depth == 0:
		return nil, fmt.Errorf("it is nested more than %d deep", 128)
	case delim == '[':
		return readArray(decoder, depth-1)
	}
	return readObject(decoder, depth-1)
}

func readArray(decoder *json.Decoder, depth int) (any, error) {
	array := []any{}
	for decoder.More() {
		value, err := readValue(decoder, depth)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := decoder.Token()
	return array, err
}

func readObject(decoder *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string) // the text is valid JSON, so what follows a brace is a name
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("it has a member %s twice", name)
		}
		if object[name], err = readValue(decoder, depth); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return object, err
}

// FuzzFingerprintIsThePlainOne, but for text that is no Unicode, which encoding/json mends.
func FuzzFingerprintIsThePlainOne(f *testing.F) {
	for _, text := range []string{
		definition, `{}`, `{"inputSchema":null}`, `{"a":[1,2.50,-0,1e9,true,false,null,"x",{},[]],"inputSchema":{"b":{"z":1,"a":[{"y":2,"x":3}]},"a":"\u0041\n\t\"\\\/\b\f\r\ud83d\ude42"}}`,
		` { "title" : "t" , "\u0064escription" : [ ] , "annotations" : { "readOnlyHint" : true } } `, `{"annotations":[{"readOnlyHint":true}]}`, `{"z":1,"z":2}`, `{"":0,"\u0000":1}`,
		`{"outputSchema":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`, `{"outputSchema":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		print, readOnly, err := policy.Fingerprint(text)
		want, wantReadOnly, wantErr := plainFingerprint(text)
		if err != nil && strings.Contains(err.Error(), "Unicode") {
			return
		}
		if (err != nil) != (wantErr != nil) || print != want || readOnly != wantReadOnly {
			t.Errorf("%s:\n%+v, %v, %v\nwant\n%+v, %v, %v", text, print, readOnly, err, want, wantReadOnly, wantErr)
		}
	})
}
