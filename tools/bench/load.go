package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// setting is what the three clients are told on standard input.
type setting struct {
	Addresses   []string          `json:"addresses"` // connections are dealt to them in turn
	Headers     map[string]string `json:"headers"`
	Connections int               `json:"connections"`
	Seconds     float64           `json:"seconds"`
	Body        json.RawMessage   `json:"body"`
	Jobs        []job             `json:"jobs"`
}

type job struct {
	At   float64         `json:"at"` // seconds after the start
	Body json.RawMessage `json:"body"`
}

func readSetting() (setting, error) {
	var told setting
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&told); err != nil {
		return told, fmt.Errorf("setting: %w", err)
	}
	if len(told.Addresses) == 0 {
		return told, errors.New("setting: no addresses")
	}
	return told, nil
}

// request makes the bytes for one address; a stream must bring as many events as it asks for tokens.
func (s setting) request(address string, body []byte) (request, error) {
	var asked chat
	if err := json.Unmarshal(body, &asked); err != nil {
		return request{}, fmt.Errorf("setting: body: %w", err)
	}
	tokens := 0
	if asked.Stream {
		tokens = asked.MaxTokens
	}
	return newRequest(address, s.Headers, body, tokens), nil
}

type loaded struct {
	Seconds  float64        `json:"seconds"`
	Answers  int            `json:"answers"`
	Failures map[string]int `json:"failures"`
	TookUs   []int64        `json:"took_us"`
	FirstUs  []int64        `json:"first_us"`
	GapsUs   []int64        `json:"gaps_us"`
}

// load keeps `connections` requests running for `seconds`, each followed at once by the next of its connection.
// Connections that stream start spread over 200 ms, as people do, so that their tokens do not come in step.
func load([]string) error {
	told, err := readSetting()
	if err != nil {
		return err
	}
	perConnection := make([]loaded, told.Connections)
	started := time.Now()
	end := started.Add(time.Duration(told.Seconds * float64(time.Second)))
	var all sync.WaitGroup
	for n := range told.Connections {
		address := told.Addresses[n%len(told.Addresses)]
		asked, err := told.request(address, told.Body)
		if err != nil {
			return err
		}
		all.Go(func() {
			if asked.tokens > 0 {
				time.Sleep(200 * time.Millisecond * time.Duration(n) / time.Duration(told.Connections))
			}
			perConnection[n] = keepAsking(&client{address: address}, asked, end)
		})
	}
	all.Wait()
	total := loaded{Seconds: time.Since(started).Seconds(), Failures: map[string]int{}}
	for _, one := range perConnection {
		total.add(one)
	}
	return json.NewEncoder(os.Stdout).Encode(total)
}

func keepAsking(c *client, asked request, end time.Time) loaded {
	defer c.close()
	counted := loaded{Failures: map[string]int{}}
	for time.Now().Before(end) {
		got := c.ask(asked)
		if got.failure != "" {
			counted.Failures[got.failure]++
			time.Sleep(10 * time.Millisecond) // a gateway that is down is not to be hammered
			continue
		}
		counted.Answers++
		counted.TookUs = append(counted.TookUs, got.took)
		if asked.tokens > 0 {
			counted.FirstUs = append(counted.FirstUs, got.first)
			counted.GapsUs = append(counted.GapsUs, got.gaps...)
		}
	}
	return counted
}

func (l *loaded) add(one loaded) {
	l.Answers += one.Answers
	l.TookUs = append(l.TookUs, one.TookUs...)
	l.FirstUs = append(l.FirstUs, one.FirstUs...)
	l.GapsUs = append(l.GapsUs, one.GapsUs...)
	for failure, count := range one.Failures {
		l.Failures[failure] += count
	}
}

// idle opens `connections`, uses each once, prints how many are open and holds them until standard input ends.
func idle([]string) error {
	told, err := readSetting()
	if err != nil {
		return err
	}
	for n := range told.Connections {
		address := told.Addresses[n%len(told.Addresses)]
		asked, err := told.request(address, told.Body)
		if err != nil {
			return err
		}
		held := &client{address: address}
		if got := held.ask(asked); got.failure != "" {
			return fmt.Errorf("connection %d: %s", n+1, got.failure)
		}
		if held.conn == nil {
			return fmt.Errorf("connection %d was not kept open", n+1)
		}
		defer held.close()
	}
	fmt.Println(told.Connections)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

type jobDone struct {
	FirstUs  int64 `json:"first_us"` // since it was first sent, refusals and waits included
	DoneUs   int64 `json:"done_us"`  // since the start of all
	Refusals int   `json:"refusals"`
}

// jobs sends each job at its time on a connection of its own. A job that is refused with 429 comes again when the
// answer says so; anything else that fails ends the run.
func jobs([]string) error {
	told, err := readSetting()
	if err != nil {
		return err
	}
	done := make([]jobDone, len(told.Jobs))
	failed := make([]error, len(told.Jobs))
	started := time.Now()
	var all sync.WaitGroup
	for n, one := range told.Jobs {
		address := told.Addresses[n%len(told.Addresses)]
		asked, err := told.request(address, one.Body)
		if err != nil {
			return err
		}
		all.Go(func() {
			time.Sleep(time.Until(started.Add(time.Duration(one.At * float64(time.Second)))))
			done[n], failed[n] = untilServed(&client{address: address}, asked, started)
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

func untilServed(c *client, asked request, started time.Time) (jobDone, error) {
	defer c.close()
	var told jobDone
	for sent := time.Now(); ; {
		again := time.Now()
		got := c.ask(asked)
		if got.status == 429 && got.retryAfter > 0 {
			told.Refusals++
			time.Sleep(got.retryAfter)
			continue
		}
		if got.failure != "" {
			return told, errors.New(got.failure)
		}
		told.FirstUs = again.Sub(sent).Microseconds() + got.first
		told.DoneUs = time.Since(started).Microseconds()
		return told, nil
	}
}
