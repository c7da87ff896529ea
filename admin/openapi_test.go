package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"mcpsidecar/policy"
)

// answerSchemas holds answers against the OpenAPI document. To find members that the document does not know, its objects are closed here.
type answerSchemas struct {
	document map[string]any
	paths    []template
	mu       sync.Mutex
	compiler *jsonschema.Compiler // guarded by mu
}

type template struct {
	path    string
	matches *regexp.Regexp
}

func newAnswerSchemas(t testing.TB, f *fixture) *answerSchemas {
	t.Helper()
	s := &answerSchemas{document: document(t, f), compiler: jsonschema.NewCompiler()}
	closeObjects(s.document)
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	must(t, s.compiler.AddResource("openapi.json", s.document))
	for path := range member(s.document, "paths") {
		pattern := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`)
		s.paths = append(s.paths, template{path, regexp.MustCompile("^" + pattern + "$")})
	}
	// A path without parameters is meant before one with.
	slices.SortFunc(s.paths, func(a, b template) int {
		return strings.Count(a.path, "{") - strings.Count(b.path, "{")
	})
	return s
}

// document fetches the document as any admin would.
func document(t testing.TB, f *fixture) map[string]any {
	t.Helper()
	w := newRecorder(newRequest(t.Context(), "GET", "/api/v1/openapi.json", ""), f.api)
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	must(t, err)
	return decoded.(map[string]any)
}

func closeObjects(node any) {
	switch node := node.(type) {
	case map[string]any:
		if _, object := node["properties"].(map[string]any); object {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			closeObjects(child)
		}
	case []any:
		for _, child := range node {
			closeObjects(child)
		}
	}
}

func member(node map[string]any, path ...string) map[string]any {
	for _, name := range path {
		node, _ = node[name].(map[string]any)
	}
	return node
}

// check holds one answer against what the document says of its operation and status.
func (s *answerSchemas) check(t testing.TB, method, path string, a *answer) {
	t.Helper()
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: the answer may be cached", a.what)
	}
	if len(a.body) == 0 || method == "HEAD" { // which no connection would carry
		return
	}
	if s.page(method, path, a.status) {
		if a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: the page is %q", a.what, a.header.Get("Content-Type"))
		}
		return
	}
	if a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: the answer is %q", a.what, a.header.Get("Content-Type"))
	}
	compiled := s.compile(t, s.pointer(method, path, a.status))
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err != nil {
		t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: status %d is not as documented: %v\n%s", a.what, a.status, err, a.body)
	}
}

func (s *answerSchemas) compile(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	compiled, err := s.compiler.Compile("openapi.json#" + pointer)
	must(t, err)
	return compiled
}

// page says whether an answer is documented as a page; whatever is not below /api/ and not documented is one.
func (s *answerSchemas) page(method, path string, status int) bool {
	pointer := s.pointer(method, path, status)
	if pointer == "/components/schemas/Failure" {
		return !strings.HasPrefix(path, "/api/")
	}
	var node any = s.document
	for token := range strings.SplitSeq(strings.TrimSuffix(pointer, "/"+escaped("application/json")+"/schema")[1:], "/") {
		node = node.(map[string]any)[strings.NewReplacer("~1", "/", "~0", "~", "%7B", "{", "%7D", "}").Replace(token)]
	}
	_, page := node.(map[string]any)["text/html"]
	return page
}

func (s *answerSchemas) pointer(method, path string, status int) string {
	if method == "HEAD" {
		method = "GET"
	}
	for _, candidate := range s.paths {
		operation := member(s.document, "paths", candidate.path, strings.ToLower(method))
		if operation == nil || !candidate.matches.MatchString(path) {
			continue
		}
		key := strconv.Itoa(status)
		if member(operation, "responses", key) == nil {
			key = "default"
		}
		return "/paths/" + escaped(candidate.path) + "/" + strings.ToLower(method) + "/responses/" + key + "/content/" + escaped("application/json") + "/schema"
	}
	return "/components/schemas/Failure"
}

func escaped(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(token)
}

func TestEveryRouteIsDocumentedAndTheReverse(t *testing.T) {
	f := open(t)
	var routes, documented []string
	for _, route := range f.api.Routes() {
		path := regexp.MustCompile(`:([a-z]+)`).ReplaceAllString(route.Path, `{$1}`)
		routes = append(routes, route.Method+" "+path)
	}
	for path, item := range member(f.schemas.document, "paths") {
		for method := range item.(map[string]any) {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routes)
	slices.Sort(documented)
	if !slices.Equal(routes, documented) {
		t.Errorf("routes:\n%s\ndocumented:\n%s", strings.Join(routes, "\n"), strings.Join(documented, "\n"))
	}
}

func TestTheDocumentIsWhole(t *testing.T) {
	f := open(t)
	doc := f.schemas.document
	if doc["openapi"] != "3.1.0" || member(doc, "info")["title"] == nil || member(doc, "info")["version"] != "test" {
		t.Errorf("the head of the document is %v, %v", doc["openapi"], doc["info"])
	}
	if member(doc, "components", "securitySchemes", "bearer")["scheme"] != "bearer" {
		t.Error("the document does not say how to authenticate")
	}
	ids := map[string]bool{}
	for path, item := range member(doc, "paths") {
		for method, operation := range item.(map[string]any) {
			wholeOperation(t, path, method, operation.(map[string]any), ids)
		}
	}
	references(t, doc, doc)
	for name, schema := range member(doc, "components", "schemas") {
		f.schemas.compile(t, "/components/schemas/"+name)
		for field, property := range member(schema.(map[string]any), "properties") {
			if name != "Change" && property.(map[string]any)["description"] == nil && property.(map[string]any)["$ref"] == nil {
				t.Errorf("%s.%s is not described", name, field)
			}
		}
	}
}

func wholeOperation(t *testing.T, path, method string, operation map[string]any, ids map[string]bool) {
	t.Helper()
	what := strings.ToUpper(method) + " " + path
	id, _ := operation["operationId"].(string)
	if id == "" || ids[id] || operation["summary"] == "" {
		t.Errorf("%s: operationId %q is missing or taken, or there is no summary", what, id)
	}
	ids[id] = true
	var named []string
	parameters, _ := operation["parameters"].([]any)
	for _, parameter := range parameters {
		parameter := parameter.(map[string]any)
		if parameter["in"] == "path" {
			named = append(named, fmt.Sprintf("{%s}", parameter["name"]))
		}
	}
	if in := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(path, -1); !slices.Equal(in, named) {
		t.Errorf("%s: the parameters of the path are %v, described are %v", what, in, named)
	}
	successes := 0
	for status, response := range member(operation, "responses") {
		if status[0] == '2' || status[0] == '3' {
			successes++
		}
		response := response.(map[string]any)
		if response["description"] == nil || (response["content"] == nil) != (status == "204" || status[0] == '3') || (status[0] == '3') != (response["headers"] != nil) {
			t.Errorf("%s: response %s is %v", what, status, response)
		}
	}
	security, special := operation["security"].([]any)
	open := special && len(security) == 0 // others say in which ways to authenticate
	if successes != 1 || (member(operation, "responses", "401") == nil) != open {
		t.Errorf("%s: there must be one success, and a 401 unless no token is needed", what)
	}
	if takes := method == "post" || method == "patch"; !takes && operation["requestBody"] != nil {
		t.Errorf("%s takes a body", what)
	}
}

// references asserts that every $ref leads somewhere.
func references(t *testing.T, doc map[string]any, node any) {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok && member(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...) == nil {
			t.Errorf("%s leads nowhere", ref)
		}
		for _, child := range node {
			references(t, doc, child)
		}
	case []any:
		for _, child := range node {
			references(t, doc, child)
		}
	}
}

// TestRequestsAreAsDocumented holds request bodies that are accepted and refused against the document's schemas.
func TestRequestsAreAsDocumented(t *testing.T) {
	f := open(t)
	f.root(t).create(body(t, nil))
	for _, c := range []struct {
		schema, body string
		documented   bool
	}{
		{"NewServer", body(t, fields{"slug": "other", "tool_deny_list": []string{"x"}, "custom_headers": map[string]string{"X-A": "b"}, "timeout_ms": nil}), true},
		{"NewServer", body(t, fields{"slug": "another", "description": nullJSON, "expose": []policy.Surface{policy.Tools}}), true},
		{"NewServer", body(t, fields{"slug": nil}), false},
		{"NewServer", body(t, fields{"id": "x"}), false},
		{"NewServer", body(t, fields{"enabled": "true"}), false},
		{"NewServer", body(t, fields{"transport": "stdio"}), false},
		{"NewServer", body(t, fields{"expose": []string{"toolz"}}), false},
		{"NewToken", `{"name":"x","role":"admin"}`, true},
		{"NewToken", `{"name":"x","role":"agent","servers":["github"],"expires_in":60,"mode":"plan","agent":"subagent"}`, true},
		{"NewToken", `{"name":"x","role":"root"}`, false},
		{"NewToken", `{"name":"x"}`, false},
	} {
		compiled := f.schemas.compile(t, "/components/schemas/"+c.schema)
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(c.body))
		must(t, err)
		if valid := compiled.Validate(value) == nil; valid != c.documented {
			t.Errorf("by the document, %s is %v as a %s", c.body, valid, c.schema)
		}
		path := map[string]string{"NewServer": servers, "NewToken": "/api/v1/tokens"}[c.schema]
		if got := f.root(t).post(path, c.body); (got.status == http.StatusCreated) != c.documented {
			t.Errorf("POST %s of %s: status %d: %s", path, c.body, got.status, got.body)
		}
	}
}

func TestTheDocumentNamesOurAddress(t *testing.T) {
	f := open(t)
	config := f.config()
	config.Public = &url.URL{Scheme: "https", Host: "sidecar.example.com", Path: "/"}
	var document struct{ Servers []struct{ URL string } }
	must(t, json.Unmarshal(newRecorder(newRequest(t.Context(), "GET", "/api/v1/openapi.json", ""), newAPI(t, config)).Body.Bytes(), &document))
	if len(document.Servers) != 1 || document.Servers[0].URL != "https://sidecar.example.com" {
		t.Errorf("the document has the addresses %v", document.Servers)
	}
}

var nullJSON = json.RawMessage("null")

func TestTheDocumentIsForEveryRole(t *testing.T) {
	f := open(t)
	f.mint(t, `{"name":"ann","role":"user","user":"ann"}`).get("/api/v1/openapi.json").want(200)
	f.mint(t, `{"name":"bot","role":"agent"}`).with("Sidecar-User", "ann").get("/api/v1/openapi.json").want(200)
}
