package policy_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/policy"
)

var exposedForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func TestExposedName(t *testing.T) {
	long := strings.Repeat("x", 56) // github__ and this are 64
	for _, c := range []struct{ says, tool, want string }{
		{"a plain name is kept", "get_user", "github__get_user"},
		{"so is case", "getUser-2", "github__getUser-2"},
		{"and a name of 64 bytes", long, "github__" + long},
		{"other characters become _, and a hash closes the name", "files.read", "github__files_read_??????"},
		{"one character is one _", "ä/🙂", "github______??????"},
		{"so is each byte that is no text", "a\xff\xfe", "github__a___??????"},
		{"a long name is cut to 64 bytes with its hash", long + "y", "github__" + long[:49] + "_??????"},
		{"a long name of other characters, too", strings.Repeat("é", 200), "github__" + strings.Repeat("_", 49) + "_??????"},
		{"no name is a changed name", "", "github___??????"},
	} {
		t.Run(c.says, func(t *testing.T) {
			got := policy.ExposedName(slug, c.tool)
			form := regexp.MustCompile("^" + strings.ReplaceAll(c.want, "?", "[a-z0-9]") + "$")
			if !form.MatchString(got) || !exposedForm.MatchString(got) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The names are part of prompts, allow lists of clients and audit records: they must never change between versions.
func TestExposedNameIsStable(t *testing.T) {
	for tool, want := range map[string]string{
		"files.read":             "github__files_read_2ivdpy",
		"":                       "github___rq6frr",
		strings.Repeat("x", 100): "github__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_z64bzw",
	} {
		if got := policy.ExposedName(slug, tool); got != want {
			t.Errorf("ExposedName(%q) = %q, want %q", tool, got, want)
		}
	}
}

// The same name on two servers is two exposed names (T-03), and no pair of slugs and tools meets by clever spelling.
func TestExposedNamesOfTwoServers(t *testing.T) {
	for _, c := range [][2][2]string{
		{{"good", "send_email"}, {"evil", "send_email"}},
		{{"a", "b__c"}, {"a-b", "c"}},
		{{"a", "_b"}, {"a-", "b"}},
		{{"good", "send.email"}, {"evil", "send.email"}},
	} {
		if one, two := policy.ExposedName(c[0][0], c[0][1]), policy.ExposedName(c[1][0], c[1][1]); one == two {
			t.Errorf("%q and %q are both %q", c[0], c[1], one)
		}
	}
}

func TestExposedNames(t *testing.T) {
	twin := strings.TrimPrefix(policy.ExposedName(slug, "a.b"), slug+"__") // a plain name that looks like the changed name of a.b
	thrice := strings.TrimPrefix(hashedTwin(t, twin), slug+"__")           // and one that looks like what twin becomes then
	for _, c := range []struct {
		says  string
		tools []string
		want  map[string]string
	}{
		{"no tools", nil, map[string]string{}},
		{"plain names are kept", []string{"a", "b"}, map[string]string{"a": "github__a", "b": "github__b"}},
		{"a changed name does not touch the plain one", []string{"a.b", "a_b"}, map[string]string{"a.b": policy.ExposedName(slug, "a.b"), "a_b": "github__a_b"}},
		{"a plain name that collides with a changed one gets a hash, too", []string{"a.b", twin}, map[string]string{"a.b": policy.ExposedName(slug, "a.b"), twin: hashedTwin(t, twin)}},
		{"what still collides is left out", []string{"a.b", twin, thrice}, map[string]string{"a.b": policy.ExposedName(slug, "a.b")}},
		{"a name twice is one name", []string{"a", "a"}, map[string]string{"a": "github__a"}},
	} {
		t.Run(c.says, func(t *testing.T) {
			if got := policy.ExposedNames(slug, c.tools); !maps.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

// hashedTwin is what a plain name becomes when it collides.
func hashedTwin(t *testing.T, twin string) string {
	t.Helper()
	name := policy.ExposedNames(slug, []string{"a.b", twin})[twin]
	if !regexp.MustCompile("^" + slug + "__" + regexp.QuoteMeta(twin) + "_[a-z0-9]{6}$").MatchString(name) {
		t.Fatalf("the colliding name %q became %q", twin, name)
	}
	return name
}

// Tools whose names are the same once characters are replaced or cut stay apart.
func TestExposedNamesAreDistinct(t *testing.T) {
	tools := []string{"a b", "a.b", "a/b", "a_b", "a\xffb", "a\xfeb", "", " ", "_"}
	for i := range 500 {
		tools = append(tools, strings.Repeat("x", 80)+fmt.Sprint(i), fmt.Sprintf("é%d", i), fmt.Sprintf("è%d", i))
	}
	checkNames(t, slug, tools)
	if got := policy.ExposedNames(slug, tools); len(got) != len(tools) {
		t.Errorf("%d of %d tools are left", len(got), len(tools))
	}
}

// checkNames checks what holds of every result of ExposedNames.
func checkNames(t *testing.T, slug string, tools []string) {
	t.Helper()
	names := policy.ExposedNames(slug, tools)
	owner := map[string]string{}
	for tool, name := range names {
		if !exposedForm.MatchString(name) || !strings.HasPrefix(name, slug+"__") {
			t.Errorf("%q is exposed as %q", tool, name)
		}
		if other, taken := owner[name]; taken {
			t.Errorf("%q and %q are both %q", tool, other, name)
		}
		if !slices.Contains(tools, tool) {
			t.Errorf("%q is no tool", tool)
		}
		owner[name] = tool
	}
	turned := slices.Clone(tools)
	slices.Reverse(turned)
	if !maps.Equal(names, policy.ExposedNames(slug, turned)) || !maps.Equal(names, policy.ExposedNames(slug, append(turned, tools...))) {
		t.Errorf("the names of %q depend on order or number", tools)
	}
}

func TestValidSlug(t *testing.T) {
	for _, valid := range []string{"a", "0", "github", "my-server-2", "a--b", strings.Repeat("x", 32)} {
		if !policy.ValidSlug(valid) {
			t.Errorf("%q should be a slug", valid)
		}
	}
	for _, invalid := range []string{"", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a\x00", "a/b", strings.Repeat("x", 33)} {
		if policy.ValidSlug(invalid) {
			t.Errorf("%q should be no slug", invalid)
		}
	}
}
