// Package importtest holds the program's packages against the table of who may import whom, and the repository against its fixed top level.
//
// It owns that table (table_test.go), with the reason beside each edge: what the architecture is, as a test. It has no code besides its tests.
//
// It deliberately does not know what the packages do, and asks no tool about them: it parses the source files in-process, so that a result cannot come from a cache that missed an edit.
//
// Invariant: every package, every edge between packages and every module of others is in the table, and everything in the table is in the tree.
package importtest
