package gitserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// maxAPIBody bounds the body of an API request, in bytes.
const maxAPIBody = 1 << 20

// Repository is how the API shows a repository.
type Repository struct {
	Name          string `json:"name"`
	CloneURL      string `json:"cloneURL"`
	DefaultBranch string `json:"defaultBranch"`
}

// Token is how the API shows a token. Secret is set only in the answer that creates it.
type Token struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Scope  Scope  `json:"scope"`
	Secret string `json:"token,omitempty"`
}

// Hook is how the API shows a webhook; its secret is never shown.
type Hook struct {
	ID        string     `json:"id"`
	URL       string     `json:"url"`
	HasSecret bool       `json:"hasSecret"`
	Last      *Delivered `json:"lastDelivery,omitempty"`
}

// apiError is an error with the status it is answered with.
type apiError struct {
	status int
	reason string
}

func (e *apiError) Error() string { return e.reason }

// apiHandler lists the routes. {repo} is a repository's name in one path segment, so its slash is written %2F.
func (s *Server) apiHandler() http.Handler {
	mux := http.NewServeMux()
	routes := []struct {
		pattern string
		handle  func(*http.Request) (int, any, error)
	}{
		{"GET /api/v1/repos", s.apiList},
		{"GET /api/v1/repos/{repo}", s.apiGet},
		{"PUT /api/v1/repos/{repo}", s.apiPut},
		{"DELETE /api/v1/repos/{repo}", s.apiDelete},
		{"GET /api/v1/repos/{repo}/tokens", s.apiTokens},
		{"POST /api/v1/repos/{repo}/tokens", s.apiAddToken},
		{"DELETE /api/v1/repos/{repo}/tokens/{id}", s.apiRemoveToken},
		{"GET /api/v1/repos/{repo}/hooks", s.apiHooks},
		{"POST /api/v1/repos/{repo}/hooks", s.apiPutHook},
		{"DELETE /api/v1/repos/{repo}/hooks/{id}", s.apiRemoveHook},
	}
	for _, route := range routes {
		mux.Handle(route.pattern, s.apiRoute(route.handle))
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, errorBody("no such API path or method: see /api/v1/repos"))
	})
	return mux
}

// apiRoute checks the admin token and turns a result or an error into an answer.
func (s *Server) apiRoute(handle func(*http.Request) (int, any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.isAdmin(credential(r)) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, errorBody("the admin token is needed: send it as `Authorization: Bearer TOKEN`"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxAPIBody)
		status, body, err := handle(r)
		if err != nil {
			status, body = s.failure(r, err)
		}
		answer(w, status, body)
	})
}

func (s *Server) failure(r *http.Request, err error) (int, any) {
	var known *apiError
	switch {
	case errors.As(err, &known):
		return known.status, errorBody(known.reason)
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound, errorBody(err.Error())
	case errors.Is(err, ErrBadName):
		return http.StatusBadRequest, errorBody(err.Error())
	}
	s.log.ErrorContext(r.Context(), "serving API request", "method", r.Method, "path", r.URL.Path, "err", err)
	return http.StatusInternalServerError, errorBody("internal error: see the server's log")
}

func errorBody(reason string) any { return map[string]string{"error": reason} }

func answer(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the client is gone
}

func (s *Server) shown(r *http.Request, name string) Repository {
	return Repository{Name: name, CloneURL: s.baseURL(r) + "/" + name + ".git", DefaultBranch: DefaultBranch}
}

func (s *Server) apiList(r *http.Request) (int, any, error) {
	names, err := s.list()
	if err != nil {
		return 0, nil, err
	}
	shown := []Repository{}
	for _, name := range names {
		shown = append(shown, s.shown(r, name))
	}
	return http.StatusOK, shown, nil
}

func (s *Server) apiGet(r *http.Request) (int, any, error) {
	name, err := s.existing(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.shown(r, name), nil
}

func (s *Server) apiPut(r *http.Request) (int, any, error) {
	name, err := cleanName(r.PathValue("repo"))
	if err != nil {
		return 0, nil, err
	}
	created, err := s.create(r.Context(), name)
	if err != nil {
		return 0, nil, err
	}
	if created {
		s.log.InfoContext(r.Context(), "repository created", "repository", name)
		return http.StatusCreated, s.shown(r, name), nil
	}
	return http.StatusOK, s.shown(r, name), nil
}

func (s *Server) apiDelete(r *http.Request) (int, any, error) {
	name, err := cleanName(r.PathValue("repo"))
	if err != nil {
		return 0, nil, err
	}
	if err := s.remove(name); err != nil {
		return 0, nil, err
	}
	s.log.InfoContext(r.Context(), "repository deleted", "repository", name)
	return http.StatusNoContent, nil, nil
}

// existing returns the request's repository.
func (s *Server) existing(r *http.Request) (string, error) {
	name, err := cleanName(r.PathValue("repo"))
	if err != nil {
		return "", err
	}
	if !s.exists(name) {
		return "", fmt.Errorf("repository %s: %w", name, ErrNotFound)
	}
	return name, nil
}

func (s *Server) existingSettings(r *http.Request) (settings, error) {
	name, err := s.existing(r)
	if err != nil {
		return settings{}, err
	}
	return s.readSettings(name)
}

func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return badRequest("reading the JSON body: %v", err)
	}
	return nil
}

func badRequest(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}
