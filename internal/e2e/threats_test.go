package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// TestThreats holds threats.md against the code: every test that it names is there.
func TestThreats(t *testing.T) {
	t.Parallel()
	namesTests(t, "threats.md", "| what could happen ", 30)
}

// TestReference does the same for reference.md.
func TestReference(t *testing.T) {
	t.Parallel()
	namesTests(t, "reference.md", "| where it matters ", 50)
}

// namesTests holds a document of tables against the code. Each row's last cell names tests, by package.
func namesTests(t *testing.T, document, heading string, atLeast int) {
	t.Helper()
	root := must[string](t)(rig.Root())
	inPackage, test := regexp.MustCompile("`([a-z0-9/-]+)` ((?:Test\\w+(?:, )?)+)"), regexp.MustCompile(`Test\w+`)
	rows := 0
	for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile(document)))) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, heading) {
			continue
		}
		rows++
		named := inPackage.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(cells) != 3 || len(named) == 0 {
			t.Errorf("no tests are named: %s", line)
			continue
		}
		found := 0
		for _, n := range named {
			for _, name := range test.FindAllString(n[2], -1) {
				if found++; !declared(t, filepath.Join(root, n[1]), name) {
					t.Errorf("%s has no %s", n[1], name)
				}
			}
		}
		if all := len(test.FindAllString(line, -1)); found != all {
			t.Errorf("%d tests are named, and %d understood: %s", all, found, line)
		}
	}
	if rows < atLeast {
		t.Errorf("only %d rows were read", rows)
	}
}

// declared says whether a test is in a directory.
func declared(t *testing.T, dir, name string) bool {
	t.Helper()
	for _, file := range must[[]string](t)(filepath.Glob(filepath.Join(dir, "*_test.go"))) {
		if strings.Contains(string(must[[]byte](t)(os.ReadFile(file))), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
