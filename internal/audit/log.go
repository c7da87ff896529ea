package audit

import (
	"io"
	"log/slog"
	"time"
)

// Config says where records go.
type Config struct {
	Path     string            // "-" is Stdout, empty keeps no records, anything else is a file that is appended to
	Required bool              // a call or change that cannot be recorded fails; needs a Path
	Stdout   io.Writer         // nil: os.Stdout
	Lost     func(records int) // told how many records were lost; may be nil
	Logger   *slog.Logger      // nil: nothing is logged
	Now      func() time.Time  // nil: time.Now
}

// Log is the audit log. Safe for concurrent use.
type Log struct{}

// Open opens the file for appending, creating it with mode 0600, and starts the writer.
func Open(Config) (*Log, error) { panic("unbuilt") }

// Begin records that a call is about to run. It does something only when records are required; then an error means that the call must not run.
func (*Log) Begin(*Call) error { panic("unbuilt") }

// End records how a call ended. It never blocks on the disk.
func (*Log) End(*Call) { panic("unbuilt") }

// Changed records a change of configuration. When records are required an error means it is not on file.
func (*Log) Changed(Change) error { panic("unbuilt") }

// Healthy says why records cannot be written at present, or nil.
func (*Log) Healthy() error { panic("unbuilt") }

// Reopen opens the path anew, for log rotation. On an error the old file stays in use.
func (*Log) Reopen() error { panic("unbuilt") }

// Close writes what is pending and ends the writer.
func (*Log) Close() error { panic("unbuilt") }
