package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// edge returns the URL of a host of the edge.
func (d *demo) edge(host string) string {
	u, err := url.Parse(d.cluster.URLs.HTTP)
	if err != nil {
		return d.cluster.URLs.HTTP
	}
	if port := u.Port(); port != "" && port != "80" {
		host = net.JoinHostPort(host, port)
	}
	return "http://" + host
}

// browser reaches names below .localhost on the loopback address, as browsers and curl do.
func browser() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
}

// call asks an HTTP API and decodes its JSON answer into out, unless that is nil.
func call(ctx context.Context, method, address, token string, contentType string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := browser().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s answers %s: %s", method, address, res.Status, strings.TrimSpace(string(data)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

func (d *demo) forge(ctx context.Context, method, path string, body, out any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return call(ctx, method, d.cluster.URLs.Git+"/api/v1/repos/"+path, d.gitToken, "application/json", bytes.NewReader(data), out)
}

// makeRepositories makes the two repositories, each with a token to push with.
func (d *demo) makeRepositories(ctx context.Context) error {
	for _, name := range []string{"app", "deploy"} {
		if err := d.forge(ctx, http.MethodPut, name, nil, nil); err != nil {
			return err
		}
		var token struct {
			Token string `json:"token"`
		}
		if err := d.forge(ctx, http.MethodPost, name+"/tokens", map[string]string{"name": "demo", "scope": "write"}, &token); err != nil {
			return err
		}
		if err := d.workTree(ctx, name, token.Token); err != nil {
			return err
		}
		fmt.Printf("   %s/%s.git\n", d.cluster.URLs.Git, name)
	}
	return nil
}

// workTree makes a work tree that pushes to the repository, with the token in a file that only its owner reads.
func (d *demo) workTree(ctx context.Context, name, token string) error {
	dir := filepath.Join(d.work, name)
	remote, err := url.Parse(d.cluster.URLs.Git + "/" + name + ".git")
	if err != nil {
		return err
	}
	login := *remote
	login.User, login.Path = url.UserPassword("demo", token), ""
	credentials := filepath.Join(d.work, name+".credentials")
	if err := os.WriteFile(credentials, []byte(login.String()+"\n"), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", dir},
		{"-C", dir, "remote", "add", "origin", remote.String()},
		{"-C", dir, "config", "credential.helper", "store --file=" + credentials},
		{"-C", dir, "config", "user.name", "Demo"},
		{"-C", dir, "config", "user.email", "demo@peyk.dev"},
	} {
		if _, err := d.command(ctx, d.work, nil, "git", args...); err != nil {
			return err
		}
	}
	return nil
}

// push commits everything in a work tree and pushes it. It returns the short hash of the commit.
func (d *demo) push(ctx context.Context, name, message string) (string, error) {
	dir := filepath.Join(d.work, name)
	for _, args := range [][]string{
		{"add", "-A"}, {"commit", "-q", "-m", message}, {"push", "-q", "-f", "origin", "HEAD:main"},
	} {
		if _, err := d.command(ctx, dir, nil, "git", args...); err != nil {
			return "", err
		}
	}
	hash, err := d.command(ctx, dir, nil, "git", "rev-parse", "--short=8", "HEAD")
	return strings.TrimSpace(hash), err
}

// edit replaces text in a file of a work tree.
func (d *demo) edit(name, file, old, text string) error {
	path := filepath.Join(d.work, name, file)
	data, err := os.ReadFile(path) //nolint:gosec // a file of the demo's own work tree
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(old)) {
		return fmt.Errorf("%s does not hold %q", file, old)
	}
	return os.WriteFile(path, bytes.ReplaceAll(data, []byte(old), []byte(text)), 0o600)
}
