"""The command line. It uses the public interface and the configuration models, nothing below."""
