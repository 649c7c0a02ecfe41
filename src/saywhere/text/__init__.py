"""What a phrase means: word vectors, a reader of phrases, and where in a photograph a phrase applies."""
