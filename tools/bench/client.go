package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is one request's outcome; times are microseconds since it was sent.
type answer struct {
	status     int
	failure    string // why it does not count: a status other than 200, a broken connection, a stream that was cut
	took       int64
	first      int64   // to the first event of a stream
	gaps       []int64 // between the events of a stream
	retryAfter time.Duration
}

// client is one connection, kept between requests and opened again after a failure.
type client struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

// request is one request's bytes; `tokens` is the number of events a stream must have, 0 for an answer in one piece.
type request struct {
	bytes  []byte
	tokens int
}

func newRequest(address string, headers map[string]string, body []byte, tokens int) request {
	var text bytes.Buffer
	fmt.Fprintf(&text, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n", address)
	for name, value := range headers {
		fmt.Fprintf(&text, "%s: %s\r\n", name, value)
	}
	fmt.Fprintf(&text, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return request{text.Bytes(), tokens}
}

// ask sends a request and reads its complete answer.
func (c *client) ask(req request) answer {
	got, err := c.exchange(req)
	if err != nil {
		got.failure = "connection: " + err.Error()
	}
	if got.failure != "" {
		c.close()
	}
	return got
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) exchange(req request) (answer, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			return answer{}, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	sent := time.Now()
	if _, err := c.conn.Write(req.bytes); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	got := answer{status: response.StatusCode}
	if got.status != http.StatusOK {
		got.failure = "status " + strconv.Itoa(got.status)
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		got.retryAfter = time.Duration(seconds) * time.Second
	}
	if got.status == http.StatusOK && req.tokens > 0 {
		err = got.events(response.Body, sent, req.tokens)
	} else {
		_, err = io.Copy(io.Discard, response.Body)
	}
	got.took = time.Since(sent).Microseconds()
	if response.Close {
		c.close()
	}
	return got, err
}

// events reads a stream; each event's time is that of its arrival.
func (a *answer) events(body io.Reader, sent time.Time, tokens int) error {
	lines := bufio.NewReader(body)
	var last int64
	received, done := 0, false
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, "data: ") {
			continue
		}
		if done = line == "data: [DONE]\n"; done {
			continue
		}
		now := time.Since(sent).Microseconds()
		if received++; received == 1 {
			a.first = now
		} else {
			a.gaps = append(a.gaps, now-last)
		}
		last = now
	}
	if received != tokens || !done {
		a.failure = fmt.Sprintf("stream of %d events, not %d and an end", received, tokens)
	}
	return nil
}
