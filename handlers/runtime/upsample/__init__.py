"""The last step up: scores in, a class and on request a confidence per pixel out."""
