package frontend

import (
	"net/http"
	"strings"
	"time"
)

// Programs with an event loop, browsers and Node's among them, listen for a prompt's events once they have read the answer
// to its submission; what came before is lost on them. A cached prompt can be done by then. So their sockets hear of a run no
// sooner than a moment after the answer.

// listeningTakes is that moment.
const listeningTakes = 20 * time.Millisecond

// readsInOrder reports whether a client takes from its socket after it has read the answer, so that nothing is lost.
func readsInOrder(r *http.Request) bool {
	agent := r.UserAgent()
	for _, known := range []string{"Go-http-client/", "graphrun", "Python-urllib/", "python-requests/", "curl/"} {
		if strings.HasPrefix(agent, known) {
			return true
		}
	}
	return false
}

// answering notes that a submission is about to be answered. The returned function says that it has been; the channel that
// heard gives is closed a moment after.
func (s *Server) answering(id string, r *http.Request) (answered func()) {
	if readsInOrder(r) {
		return func() {}
	}
	listening := make(chan struct{})
	s.answers.Store(id, listening)
	return func() {
		time.AfterFunc(listeningTakes, func() {
			s.answers.CompareAndDelete(id, listening)
			close(listening)
		})
	}
}

// holdBack makes the owner of a prompt that starts hear of it only once it listens.
func (s *Server) holdBack(id, client string) {
	listening, ok := s.answers.Load(id)
	if !ok || client == "" {
		return
	}
	s.sockets.each(client, func(k *socket) { k.send(message{after: listening.(chan struct{})}) })
}
