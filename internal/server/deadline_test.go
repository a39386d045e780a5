package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// speak opens a connection to the server, says something and never more.
func speak(t *testing.T, s *httptest.Server, said string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, said); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestBodyThatNeverComesIsNotWaitedFor(t *testing.T) {
	for _, method := range []string{"POST", "GET"} {
		came := make(chan error, 1)
		s := httptest.NewServer(bounded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			came <- err
		}), 50*time.Millisecond, time.Minute))
		conn := speak(t, s, method+" / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
		if err := <-came; err == nil {
			t.Errorf("%s: a body that did not come was read", method)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s: the connection was not ended: %v", method, err)
		}
		s.Close()
	}
}

func TestAnswerThatNobodyReadsIsGivenUp(t *testing.T) {
	ended := make(chan struct{})
	s := httptest.NewServer(bounded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				close(ended)
				return
			}
		}
	}), time.Minute, 50*time.Millisecond))
	defer s.Close()
	speak(t, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("an answer that nobody reads is still being written")
	}
}

func TestStreamOutlivesTheTimeOfOnePiece(t *testing.T) {
	const piece = 50 * time.Millisecond
	s := httptest.NewServer(bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 4 {
			// A stream that waits longer than a piece may take.
			timer := time.NewTimer(2 * piece)
			select {
			case <-timer.C:
			case <-r.Context().Done():
				t.Error("the stream was ended while it waited")
			}
			_, _ = io.WriteString(w, "piece\n")
			_ = http.NewResponseController(w).Flush()
		}
	}), time.Minute, piece))
	defer s.Close()
	answer, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := 0
	for scanner := bufio.NewScanner(answer.Body); scanner.Scan(); lines++ {
	}
	if lines != 4 {
		t.Errorf("%d of 4 pieces came", lines)
	}
}
