//go:build race

package e2e_test

// raceDetector says whether the tests run with it, and then the sidecar does as well (L-13).
const raceDetector = true
