package trace_test

import (
	"testing"

	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
