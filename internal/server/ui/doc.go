// Package ui owns the pages: the table of routes, the struct of each page, how
// it is rendered, and the events that keep it live. It must not know SQL or the
// link to the agents: it reads from the store, and every change goes through
// control.
package ui
