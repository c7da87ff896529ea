package front

import (
	"log/slog"
	"net/http"
	"time"
)

const (
	// readLimit is how much net/http reads of a request line and headers before it answers 431 by itself: headers as large as they may be, and before them a target of 64 KiB, eight times what it may be, so that whoever
	// sends one that is too long learns which of the two it was.
	readLimit = 64<<10 + maxHeaders + 512
	// slack is what net/http adds to MaxHeaderBytes.
	slack = 4096
)

// NewServer returns an http.Server with the limits: headers 16 KiB (431), 10 s to send them, idle keep-alive 2 min, no h2c, no deadline on bodies and answers, which handlers bound themselves.
//
// The handler is expected to be Wrap's, which judges the size of headers exactly.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      handler,
		ReadHeaderTimeout:            10 * time.Second,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               readLimit - slack,
		Protocols:                    protocols,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		DisableGeneralOptionsHandler: true, // it would answer "OPTIONS *" past the checks
	}
}
