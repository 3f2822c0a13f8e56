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

// setting is the configuration of the three clients on standard input.
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
	var config setting
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("setting: %w", err)
	}
	if len(config.Addresses) == 0 {
		return config, errors.New("setting: no addresses")
	}
	return config, nil
}

// request makes the bytes for one address; a stream must bring as many events as it asks for tokens.
func (s setting) request(address string, body []byte) (request, error) {
	var parsed chat
	if err := json.Unmarshal(body, &parsed); err != nil {
		return request{}, fmt.Errorf("setting: body: %w", err)
	}
	tokens := 0
	if parsed.Stream {
		tokens = parsed.MaxTokens
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
	config, err := readSetting()
	if err != nil {
		return err
	}
	perConnection := make([]loaded, config.Connections)
	started := time.Now()
	end := started.Add(time.Duration(config.Seconds * float64(time.Second)))
	var all sync.WaitGroup
	for n := range config.Connections {
		address := config.Addresses[n%len(config.Addresses)]
		req, err := config.request(address, config.Body)
		if err != nil {
			return err
		}
		all.Go(func() {
			if req.tokens > 0 {
				time.Sleep(200 * time.Millisecond * time.Duration(n) / time.Duration(config.Connections))
			}
			perConnection[n] = keepRequesting(&client{address: address}, req, end)
		})
	}
	all.Wait()
	total := loaded{Seconds: time.Since(started).Seconds(), Failures: map[string]int{}}
	for _, one := range perConnection {
		total.add(one)
	}
	return json.NewEncoder(os.Stdout).Encode(total)
}

func keepRequesting(c *client, req request, end time.Time) loaded {
	defer c.close()
	counted := loaded{Failures: map[string]int{}}
	for time.Now().Before(end) {
		got := c.ask(req)
		if got.failure != "" {
			counted.Failures[got.failure]++
			time.Sleep(10 * time.Millisecond) // a gateway that is down is not to be hammered
			continue
		}
		counted.Answers++
		counted.TookUs = append(counted.TookUs, got.took)
		if req.tokens > 0 {
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
	config, err := readSetting()
	if err != nil {
		return err
	}
	for n := range config.Connections {
		address := config.Addresses[n%len(config.Addresses)]
		req, err := config.request(address, config.Body)
		if err != nil {
			return err
		}
		held := &client{address: address}
		if got := held.ask(req); got.failure != "" {
			return fmt.Errorf("connection %d: %s", n+1, got.failure)
		}
		if held.conn == nil {
			return fmt.Errorf("connection %d was not kept open", n+1)
		}
		defer held.close()
	}
	fmt.Println(config.Connections)
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
	config, err := readSetting()
	if err != nil {
		return err
	}
	done := make([]jobDone, len(config.Jobs))
	failed := make([]error, len(config.Jobs))
	started := time.Now()
	var all sync.WaitGroup
	for n, one := range config.Jobs {
		address := config.Addresses[n%len(config.Addresses)]
		req, err := config.request(address, one.Body)
		if err != nil {
			return err
		}
		all.Go(func() {
			time.Sleep(time.Until(started.Add(time.Duration(one.At * float64(time.Second)))))
			done[n], failed[n] = untilServed(&client{address: address}, req, started)
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

func untilServed(c *client, req request, started time.Time) (jobDone, error) {
	defer c.close()
	var result jobDone
	for sent := time.Now(); ; {
		again := time.Now()
		got := c.ask(req)
		if got.status == 429 && got.retryAfter > 0 {
			result.Refusals++
			time.Sleep(got.retryAfter)
			continue
		}
		if got.failure != "" {
			return result, errors.New(got.failure)
		}
		result.FirstUs = again.Sub(sent).Microseconds() + got.first
		result.DoneUs = time.Since(started).Microseconds()
		return result, nil
	}
}
