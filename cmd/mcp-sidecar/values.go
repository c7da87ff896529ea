package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// This file reads the values of flags. Each error says what is allowed; the caller says where the value stood. None repeats a value that may hold a password.

func setText(to *string, text string) error {
	if text == "" {
		return errors.New("it must not be empty")
	}
	*to = text
	return nil
}

func setAddress(to *string, text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not host:port with a port between 0 and 65535", text)
	}
	*to = text
	return nil
}

func setPublicURL(o *options, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it is not of the form https://host or https://host:port")
	}
	u.Path = ""
	o.publicURL = u
	return nil
}

// setDocumentURL reads a URL that is to be a client id, which is compared letter by letter.
func setDocumentURL(o *options, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") == "" || strings.ContainsAny(text, "?#") || strings.Contains(u.Path, "/.") {
		return errors.New("it is not of the form https://host/path")
	}
	o.documentURL = text
	return nil
}

func setPrefixes(o *options, text string) error {
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(entry)
		if err != nil {
			return fmt.Errorf("%q is not a network such as 10.0.0.0/8 or fd00::/8", entry)
		}
		if prefix != prefix.Masked() {
			return fmt.Errorf("%q is not a network; it lies in %s", entry, prefix.Masked())
		}
		o.allowPrivate = append(o.allowPrivate, prefix)
	}
	return nil
}

func setBool(to *bool, text string) error {
	switch text {
	case "true", "1":
		*to = true
	case "false", "0":
		*to = false
	default:
		return fmt.Errorf("%q is neither true nor false", text)
	}
	return nil
}

func setLevel(o *options, text string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[text]
	if !ok {
		return fmt.Errorf("%q is not one of debug, info, warn and error", text)
	}
	o.logLevel = level
	return nil
}

func setFormat(o *options, text string) error {
	if text != "text" && text != "json" {
		return fmt.Errorf("%q is neither text nor json", text)
	}
	o.logJSON = text == "json"
	return nil
}

// maxSize bounds sizes: what is larger than a GiB is a slip of the finger.
const maxSize = 1 << 30

func setSize(to *int, text string) error {
	number, unit := text, 1
	for suffix, factor := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = rest, factor
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > maxSize/unit {
		return fmt.Errorf("%q is not a size such as 65536, 512KiB or 4MiB, at most 1GiB", text)
	}
	*to = n * unit
	return nil
}

func setCount(to *int, text string) error { return setNumber(to, text, 10_000) }

func setUsers(to *int, text string) error { return setNumber(to, text, 1_000_000) }

func setNumber(to *int, text string, most int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return fmt.Errorf("%q is not a number between 1 and %d", text, most)
	}
	*to = n
	return nil
}

func setDuration(to *time.Duration, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > 24*time.Hour {
		return fmt.Errorf("%q is not a time such as 500ms, 30s or 10m, at most 24h", text)
	}
	*to = d
	return nil
}
