// Package leak runs the tests of a package and then looks for goroutines that they have left. It is for tests only.
//
// It is goleak with more patience: that gives what is just ending less than half a second, which is not enough on a machine that does something else as well, and would be the only timing that decides about a whole package.
package leak

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end that have been told to; only a leak takes that long.
const patience = 60 * time.Second

// Main is what a TestMain does; options say what is no leak.
func Main(m interface{ Run() int }, options ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, "after tests that passed:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Find looks for goroutines until there are none that should not be there, or patience is over.
func Find(options ...goleak.Option) error {
	for began := time.Now(); ; {
		err := goleak.Find(options...) // which waits between its own attempts
		if err == nil || time.Since(began) > patience {
			return err
		}
	}
}
