// Package laws owns the rules of this repository that a machine can check: who
// may import whom, and what a file may hold. It is all tests. It must not know
// what the program does.
package laws
