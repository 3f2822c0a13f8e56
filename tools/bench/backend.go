package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// chat is all that the fake knows of a request; any other field is an error.
type chat struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	MaxTokens int  `json:"max_tokens"`
	Stream    bool `json:"stream"`
	Priority  int  `json:"priority"`

	// Switches that vllm-router writes out at their defaults; none of them changes what a fake answers.
	Logprobs             bool `json:"logprobs"`
	NoStopTrim           bool `json:"no_stop_trim"`
	IgnoreEOS            bool `json:"ignore_eos"`
	ContinueFinalMessage bool `json:"continue_final_message"`
	SkipSpecialTokens    bool `json:"skip_special_tokens"`
	SeparateReasoning    bool `json:"separate_reasoning"`
	StreamReasoning      bool `json:"stream_reasoning"`
	ReturnHiddenStates   bool `json:"return_hidden_states"`
	IncludeReasoning     bool `json:"include_reasoning"`
}

// fake is a model server without a model. What it does not know it answers with 500, and it counts that, so that a
// benchmark whose requests were not understood stops instead of measuring errors.
type fake struct {
	model string
	gap   time.Duration
	slots *slots // nil: as many at once as come

	running atomic.Int64
	tokens  atomic.Int64

	lock     sync.Mutex
	answered int
	unknown  []string
}

func fakeBackend(arguments []string) error {
	flags := flag.NewFlagSet("fake-backend", flag.ExitOnError)
	model := flags.String("model", "", "the name it answers for")
	gap := flags.Duration("gap", 10*time.Millisecond, "time before each token of a stream")
	count := flags.Int("slots", 0, "requests that run at once, the others wait; 0: no bound")
	order := flags.String("order", "fifo", "who runs next: fifo, or priority (the body's, lower first)")
	flags.Parse(arguments)
	if *model == "" || flags.NArg() > 0 || (*order != "fifo" && *order != "priority") {
		return errors.New("fake-backend needs -model and -order fifo or priority")
	}
	server := &fake{model: *model, gap: *gap, unknown: []string{}}
	if *count > 0 {
		server.slots = &slots{free: *count, byPriority: *order == "priority"}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return http.Serve(listener, server)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/chat/completions":
		f.chat(w, r)
	case "GET /v1/models":
		reply(w, fmt.Appendf(nil, `{"object":"list","data":[{"id":%q,"object":"model"}]}`, f.model))
	case "GET /metrics": // what our gateway's probe reads
		fmt.Fprintf(w, "vllm:num_requests_running %d\nvllm:generation_tokens_total %d\nvllm:prompt_tokens_total %d\n",
			f.running.Load(), f.tokens.Load(), f.tokens.Load())
	case "GET /health":
		reply(w, nil)
	case "GET /fake/counts":
		f.lock.Lock()
		defer f.lock.Unlock()
		report, _ := json.Marshal(map[string]any{"answered": f.answered, "unknown": f.unknown})
		reply(w, report)
	default:
		f.refuse(w, r.Method+" "+r.URL.Path)
	}
}

func (f *fake) chat(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	var parsed chat
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		f.refuse(w, fmt.Sprintf("body: %v", err))
		return
	}
	if parsed.Model != f.model || len(parsed.Messages) == 0 || parsed.MaxTokens < 1 {
		f.refuse(w, fmt.Sprintf("model %q, %d messages, %d max_tokens", parsed.Model, len(parsed.Messages), parsed.MaxTokens))
		return
	}
	if f.slots != nil {
		if !f.slots.take(parsed.Priority, r.Context().Done()) {
			return
		}
		defer f.slots.leave()
	}
	f.running.Add(1)
	defer f.running.Add(-1)
	if parsed.Stream {
		f.stream(w, r, parsed.MaxTokens)
	} else {
		f.tokens.Add(1)
		reply(w, fmt.Appendf(nil, `{"id":"chatcmpl-fake","object":"chat.completion","created":0,"model":%q,"choices":[{"index":0,`+
			`"message":{"role":"assistant","content":"fake"},"finish_reason":"stop"}],`+
			`"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, f.model))
	}
	f.lock.Lock()
	f.answered++
	f.lock.Unlock()
}

// stream sends a token per gap, each at its own time after the start, so that a late one does not delay the next.
func (f *fake) stream(w http.ResponseWriter, r *http.Request, tokens int) {
	w.Header().Set("Content-Type", "text/event-stream")
	event := fmt.Appendf(nil, `data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":0,"model":%q,`+
		`"choices":[{"index":0,"delta":{"content":"fake "},"finish_reason":null}]}`+"\n\n", f.model)
	control := http.NewResponseController(w)
	for started, n := time.Now(), 1; n <= tokens; n++ {
		time.Sleep(time.Until(started.Add(time.Duration(n) * f.gap)))
		w.Write(event)
		f.tokens.Add(1)
		if control.Flush() != nil || r.Context().Err() != nil {
			return // the client went away
		}
	}
	io.WriteString(w, "data: [DONE]\n\n")
}

func (f *fake) refuse(w http.ResponseWriter, what string) {
	fmt.Fprintln(os.Stderr, "fake backend: unknown request:", what)
	f.lock.Lock()
	f.unknown = append(f.unknown, what)
	f.lock.Unlock()
	http.Error(w, `{"error":{"message":"the fake does not know this request"}}`, http.StatusInternalServerError)
}

func reply(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
