"""The report as one page that needs no server and no other file."""

from sled.evaluation.page.build import write_page

__all__ = ["write_page"]
