package importtest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "mcpsidecar"

// root is the repository, seen from this package.
const root = "../.."

// source is one package as its files say it is.
type source struct {
	imports []string // sorted, without duplicates
	doc     string   // the package comment
	command bool     // it is a program
	env     []string // places where the environment or the command line is read
}

func TestImports(t *testing.T) {
	for _, problem := range problems(table, tree(t)) {
		t.Error(problem)
	}
}

// problems holds a tree against a table.
func problems(table map[string]row, tree map[string]source) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, pkg := range slices.Sorted(maps.Keys(table)) {
		if _, exists := tree[pkg]; !exists {
			say("%s is in the table, but not in the tree", pkg)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(tree)) {
		row, known := table[pkg]
		if !known {
			say("%s is not in the table: say there what it may import, and why", pkg)
			continue
		}
		used := make(map[string]bool)
		for _, imported := range tree[pkg].imports {
			edge, problem := judge(table, row, imported)
			used[edge] = true
			if problem != "" {
				say("%s %s", pkg, problem)
			}
		}
		for _, edge := range append(slices.Sorted(maps.Keys(row.ours)), slices.Sorted(maps.Keys(row.theirs))...) {
			if !used[edge] {
				say("%s no longer imports %s: take it from the table", pkg, edge)
			}
		}
	}
	return found
}

// judge returns the edge of the row that allows an import, or what is wrong with it.
func judge(table map[string]row, row row, imported string) (edge, problem string) {
	if ours, found := strings.CutPrefix(imported, module+"/"); found {
		switch _, allowed := row.ours[ours]; {
		case !allowed:
			return "", "must not import " + ours
		case table[ours].test && !row.test:
			return ours, "imports " + ours + ", which is for tests"
		}
		return ours, ""
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		if reason, forbidden := row.never[imported]; forbidden {
			return "", "must not import " + imported + ": " + reason
		}
		return "", ""
	}
	for theirs := range row.theirs {
		if imported == theirs || strings.HasPrefix(imported, theirs+"/") {
			return theirs, ""
		}
	}
	return "", "must not import " + imported + ", a module of others"
}

func TestProblemsAreFound(t *testing.T) {
	imports := func(names ...string) source { return source{imports: names} }
	table := map[string]row{
		"a": {ours: edges{"b": "why"}, theirs: edges{"example.com/x": "why"}, never: edges{"time": "it has no clock"}},
		"b": {}, "c": {test: true}, "d": {ours: edges{"c": "why"}},
	}
	good := func() map[string]source {
		return map[string]source{"a": imports("fmt", "example.com/x/v2/y", module+"/b"), "b": imports(), "c": imports(), "d": imports()}
	}
	tests := []struct {
		what   string
		change func(map[string]source)
		want   string
	}{
		{"an unknown package", func(tree map[string]source) { tree["z"] = imports() }, "z is not in the table"},
		{"a vanished package", func(tree map[string]source) { delete(tree, "b") }, "b is in the table, but not in the tree"},
		{"a disallowed edge", func(tree map[string]source) { tree["b"] = imports(module + "/a") }, "b must not import a"},
		{"an edge into a package further in", func(tree map[string]source) { tree["b"] = imports(module + "/b/c") }, "b must not import b/c"},
		{"a module of others", func(tree map[string]source) { tree["b"] = imports("example.com/x") }, "b must not import example.com/x, a module"},
		{"a module with a longer name", func(tree map[string]source) { tree["a"] = imports(module+"/b", "example.com/x", "example.com/xy") }, "a must not import example.com/xy, a module"},
		{"a package that may not be", func(tree map[string]source) { tree["a"] = imports("example.com/x", module+"/b", "time") }, "a must not import time: it has no clock"},
		{"an edge that nobody uses", func(tree map[string]source) { tree["a"] = imports(module + "/b") }, "a no longer imports example.com/x"},
		{"a contract in the program", func(tree map[string]source) { tree["d"] = imports(module + "/c") }, "d imports c, which is for tests"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			tree := good()
			if before := problems(table, tree); len(before) != 1 || !strings.Contains(before[0], "d no longer imports c") {
				t.Fatalf("the good tree has %q", before)
			}
			test.change(tree)
			found := problems(table, tree)
			if !slices.ContainsFunc(found, func(p string) bool { return strings.HasPrefix(p, test.want) }) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
}

func TestEveryEdgeHasAReason(t *testing.T) {
	for pkg, row := range table {
		for _, e := range []edges{row.ours, row.theirs, row.never} {
			for edge, reason := range e {
				if strings.TrimSpace(reason) == "" {
					t.Errorf("%s may import %s, but why?", pkg, edge)
				}
			}
		}
	}
}

func TestEveryPackageExplainsItself(t *testing.T) {
	for pkg, source := range tree(t) {
		if table[pkg].test {
			continue
		}
		start := "Package " + path.Base(pkg) + " "
		if source.command {
			start = "Command " + path.Base(pkg) + " "
		}
		switch doc := source.doc; {
		case doc == "":
			t.Errorf("%s has no package comment", pkg)
		case !strings.HasPrefix(doc, start):
			t.Errorf("the comment of %s does not begin with %q", pkg, start)
		case !strings.Contains(doc, "owns"):
			t.Errorf("the comment of %s does not say what it owns", pkg)
		case !strings.Contains(doc, "deliberately"):
			t.Errorf("the comment of %s does not say what it deliberately does not know", pkg)
		}
	}
}

// One package of a program wires, and nobody else reads flags or the environment.
func TestOnlyCommandsReadTheEnvironment(t *testing.T) {
	for pkg, source := range tree(t) {
		if source.command || table[pkg].test {
			continue
		}
		for _, place := range source.env {
			t.Errorf("%s reads %s", pkg, place)
		}
		if slices.Contains(source.imports, "flag") {
			t.Errorf("%s imports flag", pkg)
		}
	}
}

func TestTheTopLevelIsFixed(t *testing.T) {
	ignored := ignoredAtRoot(t)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	present := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		present[name] = true
		if !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) && !ignored(name) {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
	for _, name := range topLevel {
		if !present[name] && !slices.Contains(notYet, name) {
			t.Errorf("%s is missing at the top level", name)
		}
	}
}

// ignoredAtRoot says which names at the root git does not keep, as far as .gitignore says so in its simple patterns.
func ignoredAtRoot(t *testing.T) func(name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for line := range strings.Lines(string(text)) {
		if pattern := strings.Trim(strings.TrimSpace(line), "/"); pattern != "" && !strings.HasPrefix(pattern, "#") {
			patterns = append(patterns, pattern)
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			match, err := path.Match(pattern, name)
			return match && err == nil
		})
	}
}

// tree reads every package of the module that has files which are not tests.
func tree(t *testing.T) map[string]source {
	t.Helper()
	ignored := ignoredAtRoot(t)
	packages := make(map[string]source)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, dir := entry.Name(), filepath.Dir(file)
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || dir == root && ignored(name) || hasModule(file)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		packages[pkg], err = read(packages[pkg], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) == 0 {
		t.Fatal("there are no packages: is this run inside the repository?")
	}
	return packages
}

// hasModule says whether a folder is a module of its own.
func hasModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// read adds one file to what is known of its package.
func read(pkg source, file string) (source, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return pkg, err
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return pkg, err
		}
		if i, found := slices.BinarySearch(pkg.imports, imported); !found {
			pkg.imports = slices.Insert(pkg.imports, i, imported)
		}
	}
	pkg.command = parsed.Name.Name == "main"
	if parsed.Doc != nil {
		pkg.doc = parsed.Doc.Text()
	}
	ast.Inspect(parsed, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			if of, ok := selector.X.(*ast.Ident); ok && of.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args"}, selector.Sel.Name) {
				pkg.env = append(pkg.env, fmt.Sprintf("os.%s at %s", selector.Sel.Name, set.Position(node.Pos())))
			}
		}
		return true
	})
	return pkg, nil
}
