package gitserver

import (
	"net/http"
	"net/url"
)

func (s *Server) apiTokens(r *http.Request) (int, any, error) {
	set, err := s.existingSettings(r)
	if err != nil {
		return 0, nil, err
	}
	shown := []Token{}
	for _, t := range set.Tokens {
		shown = append(shown, Token{ID: t.ID, Name: t.Name, Scope: t.Scope})
	}
	return http.StatusOK, shown, nil
}

func (s *Server) apiAddToken(r *http.Request) (int, any, error) {
	name, err := s.existing(r)
	if err != nil {
		return 0, nil, err
	}
	var asked struct {
		Name  string `json:"name"`
		Scope Scope  `json:"scope"`
	}
	if err := decode(r, &asked); err != nil {
		return 0, nil, err
	}
	if asked.Scope != ScopeRead && asked.Scope != ScopeWrite {
		return 0, nil, badRequest("scope: %q is not a scope: use read or write", asked.Scope)
	}
	if asked.Name == "" {
		return 0, nil, badRequest("name: a token needs a name, such as ci")
	}
	added, secret, err := s.addToken(name, asked.Name, asked.Scope)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, Token{ID: added.ID, Name: added.Name, Scope: added.Scope, Secret: secret}, nil
}

func (s *Server) apiRemoveToken(r *http.Request) (int, any, error) {
	name, err := s.existing(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.removeToken(name, r.PathValue("id"))
}

func (s *Server) apiHooks(r *http.Request) (int, any, error) {
	set, err := s.existingSettings(r)
	if err != nil {
		return 0, nil, err
	}
	shown := []Hook{}
	for _, h := range set.Hooks {
		one := Hook{ID: h.ID, URL: h.URL, HasSecret: h.Secret != ""}
		if last, ok := s.deliver.outcome(h.ID); ok {
			one.Last = &last
		}
		shown = append(shown, one)
	}
	return http.StatusOK, shown, nil
}

func (s *Server) apiPutHook(r *http.Request) (int, any, error) {
	name, err := s.existing(r)
	if err != nil {
		return 0, nil, err
	}
	var asked struct {
		URL    string `json:"url"`
		Secret string `json:"secret"`
	}
	if err := decode(r, &asked); err != nil {
		return 0, nil, err
	}
	target, err := url.Parse(asked.URL)
	if err != nil || (target.Scheme != "http" && target.Scheme != "https") || target.Host == "" {
		return 0, nil, badRequest("url: a webhook needs an http or https URL with a host")
	}
	put, err := s.putHook(name, asked.URL, asked.Secret)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, Hook{ID: put.ID, URL: put.URL, HasSecret: put.Secret != ""}, nil
}

func (s *Server) apiRemoveHook(r *http.Request) (int, any, error) {
	name, err := s.existing(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.removeHook(name, r.PathValue("id"))
}
