package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// of reads a file of the repository without its comments.
func of(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") || strings.HasPrefix(line, "#!") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return strings.Join(lines, "\n")
}

// instructions are those of the Dockerfile's last stage, one a line, and everything before it.
func instructions(t *testing.T) (build string, last []string) {
	t.Helper()
	file := strings.ReplaceAll(of(t, "Dockerfile"), "\\\n", " ")
	at := strings.LastIndex(file, "\nFROM ")
	if at < 0 {
		t.Fatal("the Dockerfile has one stage")
	}
	for line := range strings.Lines(file[at+1:]) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			last = append(last, line)
		}
	}
	return file[:at], last
}

// arguments are those of an instruction that has to be there once.
func arguments(t *testing.T, lines []string, instruction string) string {
	t.Helper()
	var found []string
	for _, line := range lines {
		if text, is := strings.CutPrefix(line, instruction+" "); is {
			found = append(found, text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the image has %d times %s: %q", len(found), instruction, found)
	}
	return found[0]
}

// TestDockerfile holds the image to what is said of it: one static binary, nothing else, a user that is not root, and a health check by the binary itself.
func TestDockerfile(t *testing.T) {
	build, image := instructions(t)
	if !regexp.MustCompile(`RUN CGO_ENABLED=0 go build .*-o \S+/mcp-sidecar \./cmd/mcp-sidecar`).MatchString(build) {
		t.Error("the binary is not built static")
	}
	for _, line := range image {
		if strings.HasPrefix(line, "RUN ") || strings.HasPrefix(line, "ADD ") || strings.HasPrefix(line, "COPY ") && !strings.HasPrefix(line, "COPY --from=build ") {
			t.Errorf("more gets into the image: %s", line)
		}
	}
	for instruction, want := range map[string]string{
		"FROM":       `^scratch$`,
		"USER":       `^[1-9]\d+:[1-9]\d+$`, // numbers: who runs it can see without a passwd file that it is not root
		"ENTRYPOINT": `^\["mcp-sidecar"\]$`,
		"CMD":        `^\["serve"\]$`,
		"VOLUME":     `^/data$`,
		"STOPSIGNAL": `^SIGTERM$`, // which drains
		"EXPOSE":     `^8080 9090$`,
	} {
		if got := arguments(t, image, instruction); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s is %s, want %s", instruction, got, want)
		}
	}
	health := arguments(t, image, "HEALTHCHECK")
	if _, command, _ := strings.Cut(health, " CMD "); command != `["mcp-sidecar", "healthcheck"]` {
		t.Errorf("HEALTHCHECK is %s", health)
	}
	variables := arguments(t, image, "ENV")
	for _, want := range []string{"MCP_SIDECAR_DATA_DIR=/data", "MCP_SIDECAR_LISTEN=0.0.0.0:8080", "MCP_SIDECAR_METRICS_LISTEN=0.0.0.0:9090"} {
		if !slices.Contains(strings.Fields(variables), want) {
			t.Errorf("ENV lacks %s", want)
		}
	}
	// The store is all that is written: the data directory is the user's, and the rest can be read only.
	user := arguments(t, image, "USER")
	if !slices.Contains(image, "COPY --from=build --chown="+user+" /out/data /data") {
		t.Errorf("/data is not that of %s", user)
	}
}

// TestTheImagesEnvironmentStarts starts the program with what the image sets, on ports of its own and another data directory.
func TestTheImagesEnvironmentStarts(t *testing.T) {
	_, image := instructions(t)
	var env []string
	for _, variable := range strings.Fields(arguments(t, image, "ENV")) {
		if strings.HasPrefix(variable, "MCP_SIDECAR_") {
			env = append(env, variable)
		}
	}
	startWith(t, t.TempDir(), env).stop(t)
}

// TestTheGate: what a change has to pass is make test, and that runs everything there is.
func TestTheGate(t *testing.T) {
	info, err := os.Stat(filepath.Join("..", "..", ".ci", "run"))
	if err != nil || info.Mode()&0o111 == 0 {
		t.Fatalf(".ci/run cannot be executed: %v", err)
	}
	var runs []string
	for line := range strings.Lines(of(t, filepath.Join(".ci", "run"))) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#!") && !strings.HasPrefix(line, "set ") && !strings.HasPrefix(line, "cd ") {
			runs = append(runs, line)
		}
	}
	if !slices.Equal(runs, []string{"make test"}) {
		t.Errorf(".ci/run runs %q", runs)
	}
	_, recipe, _ := strings.Cut(of(t, "Makefile"), "\ntest:")
	recipe, _, _ = strings.Cut(recipe, "\n\n")
	for _, want := range []string{".ci/prepare", "-race", "go test $$race", " ./...", ".ci/fuzz "} {
		if !strings.Contains(recipe, want) {
			t.Errorf("make test lacks %q:\n%s", want, recipe)
		}
	}
	for _, way := range []string{"run", "test", "check", "bench", "fuzz", "image"} {
		if !regexp.MustCompile(`(?m)^` + way + `:.*## \w+`).MatchString(of(t, "Makefile")) {
			t.Errorf("make %s is missing, or without a line of help", way)
		}
	}
}
