// Package testkit owns what tests need from outside: the real restic and
// rest-server, PostgreSQL, Chromium, and the care that none of them outlives
// the test. It must not know any rule of the product, and nothing but tests
// may import it.
package testkit
