package ui

import "sync"

// maxStash bounds how many tokens wait to be shown.
const maxStash = 100

// stash keeps the text of a new enrolment token from the request that made it
// to the page that shows it, once. The text is stored nowhere else.
type stash struct {
	mu    sync.Mutex
	items []stashed
}

type stashed struct{ id, text string }

func (s *stash) put(id, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.items) == maxStash {
		s.items = s.items[1:]
	}
	s.items = append(s.items, stashed{id, text})
}

// take gives the text once; "" when there is none any more.
func (s *stash) take(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, item := range s.items {
		if item.id == id {
			s.items = append(s.items[:i:i], s.items[i+1:]...)
			return item.text
		}
	}
	return ""
}
