package credential_test

import (
	"context"
	"encoding/base64"
	"os"
	"testing"
	"time"

	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		runChild(child)
		return
	}
	leak.Main(m)
}

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func base64JSON(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
